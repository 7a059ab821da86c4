package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// Report is what a host says of itself.
type Report struct {
	Cluster   string     `json:"cluster"`
	Host      string     `json:"host"`
	Running   bool       `json:"running"` // the agent; instances run without it
	PID       int        `json:"pid,omitempty"`
	Since     time.Time  `json:"since"`             // start of the agent
	Program   string     `json:"program,omitempty"` // file of the agent that runs or ran last
	Proved    bool       `json:"proved"`            // it has read all states and reached all shims
	Locked    bool       `json:"locked"`
	Plan      int64      `json:"plan"` // number of the plan that is obeyed, 0: none
	SignedBy  string     `json:"signed_by,omitempty"`
	Obeyed    *time.Time `json:"obeyed,omitempty"`  // since when
	Problem   string     `json:"problem,omitempty"` // of the plan
	Network   string     `json:"network,omitempty"` // what is wrong with it
	Fetching  []string   `json:"fetching,omitempty"`
	Instances []Instance `json:"instances"`
}

// Instance is an instance of a host.
type Instance struct {
	Name         string     `json:"name"` // SERVICE/VERSION#N
	Phase        string     `json:"phase"`
	Since        time.Time  `json:"since"`
	PID          int        `json:"pid,omitempty"` // of the program
	Ports        []int      `json:"ports,omitempty"`
	Restarts     int        `json:"restarts"`
	CrashLooping bool       `json:"crash_looping"`
	Next         *time.Time `json:"next,omitempty"` // of the start or the kill that is due
	LastExit     *shim.Exit `json:"last_exit,omitempty"`
	Unenforced   []string   `json:"unenforced,omitempty"` // limits that the host does not hold
	LogDropped   int64      `json:"log_dropped,omitempty"`
	Proxy        string     `json:"proxy,omitempty"` // phase of the proxy beside it
	Problem      string     `json:"problem,omitempty"`

	Artifact artifact.Digest `json:"artifact,omitempty"`
	Memory   int64           `json:"memory,omitempty"` // bytes that it takes now; 0: not known
	CPU      time.Duration   `json:"cpu_ns,omitempty"` // processor time since its start; 0: not known

	record record
	alive  bool
	silent bool  // the check of its manifest does not answer
	why    error // the last answer of a check
}

// unknown is the phase of an instance with a shim that lives and does not answer.
const unknown = "unknown"

// Gone is the phase of an instance without a living shim; an agent starts it again if the plan wants it.
const Gone = "gone"

// see asks the shim of an instance.
func see(ctx context.Context, dir string, r record) Instance {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s, err := shim.Ask(ctx, dir, shim.DoStatus, -1)
	if err == nil {
		return stateOf(r, s)
	}
	i := Instance{Name: r.Instance.String(), Phase: Gone, Ports: r.Ports, record: r}
	if !errors.Is(err, shim.ErrGone) {
		i.alive, i.Phase, i.Problem = true, unknown, fmt.Sprintf("%v: %v", errSilent, err)
		return i
	}
	if s, err = shim.ReadState(dir); err != nil {
		return i
	}
	if s.Phase != shim.Stopped { // it was killed
		s.Phase, s.Child, s.Next = Gone, nil, nil
	}
	i = stateOf(r, s)
	i.alive = false
	return i
}

// stateOf is an instance with what its living shim says.
func stateOf(r record, s shim.State) Instance {
	i := Instance{Name: r.Instance.String(), Ports: r.Ports, record: r, alive: true}
	i.Phase, i.Since, i.Restarts, i.CrashLooping = string(s.Phase), s.Since, s.Restarts, s.CrashLooping
	i.Next, i.LastExit, i.Unenforced, i.LogDropped = s.Next, s.LastExit, s.Unenforced, s.LogDropped
	if s.Child != nil {
		i.PID = s.Child.PID
	}
	return i
}

func (i Instance) seen() plan.Seen {
	return plan.Seen{Instance: i.record.Instance, Hash: i.record.Hash, Ports: i.Ports, Alive: i.alive,
		Up: i.Phase == string(shim.Up) && !i.silent, Stopping: i.Phase == string(shim.Stopping)}
}

// said is the file agent.json.
type said struct {
	PID      int               `json:"pid"`
	Began    time.Time         `json:"began"`
	Program  string            `json:"program"`
	Proved   bool              `json:"proved"`
	Cluster  string            `json:"cluster"`
	Host     string            `json:"host"`
	Plan     int64             `json:"plan"`
	By       string            `json:"by,omitempty"`
	At       *time.Time        `json:"at,omitempty"`
	Problems map[string]string `json:"problems"`
	Network  string            `json:"network,omitempty"`
	Fetching []string          `json:"fetching,omitempty"`
}

// Look reports on the host of a directory, whether or not its agent runs.
func Look(ctx context.Context, dir string) (Report, error) {
	text, err := statedir.ReadFile(filepath.Join(dir, "agent.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("no agent has run in %q; name its directory or its configuration", dir)
	}
	if err != nil {
		return Report{}, err
	}
	var s said
	if err := json.Unmarshal(text, &s); err != nil {
		return Report{}, err
	}
	r := Report{Cluster: s.Cluster, Host: s.Host, Since: s.Began, Locked: locked(dir), Plan: s.Plan, SignedBy: s.By,
		Program: s.Program, Proved: s.Proved,
		Obeyed: s.At, Problem: s.Problems[""], Network: s.Network, Fetching: s.Fetching}
	switch lock, err := statedir.Lock(filepath.Join(dir, "lock")); {
	case errors.Is(err, statedir.ErrLocked):
		r.Running, r.PID = true, s.PID
	case err != nil:
		return Report{}, err
	default:
		lock.Close()
	}
	if r.Instances, err = look(ctx, dir); err != nil {
		return Report{}, err
	}
	known := map[string]bool{"": true}
	for i := range r.Instances {
		x := &r.Instances[i]
		known[x.Name] = true
		x.Artifact = x.record.Artifact
		if x.PID > 0 {
			x.Memory, x.CPU = use(x.PID)
		}
		if p := s.Problems[x.Name]; p != "" && x.Problem == "" {
			x.Problem = p
		}
	}
	for name, p := range s.Problems { // of instances that could not be started yet
		if !known[name] {
			r.Instances = append(r.Instances, Instance{Name: name, Phase: "wanted", Problem: p})
		}
	}
	sortInstances(r.Instances)
	return r, nil
}

// Find returns the directory of the shim of one instance: its whole name, or the beginning of one name only. It asks no
// shim.
func Find(dir, name string) (string, error) {
	exact := ""
	var names, dirs []string
	err := records(dir, "instances", func(path string, r record) {
		switch full := r.Instance.String(); {
		case full == name:
			exact = path
		case strings.HasPrefix(full, name):
			names, dirs = append(names, full), append(dirs, path)
		}
	})
	switch {
	case err != nil:
		return "", err
	case exact != "":
		return exact, nil
	case len(dirs) == 0:
		return "", fmt.Errorf("this host has no instance %q; skerry agent status lists them", name)
	case len(dirs) == 1:
		return dirs[0], nil
	}
	slices.Sort(names)
	return "", fmt.Errorf("%q is the beginning of %s; name one", name, strings.Join(names, ", "))
}

func sortInstances(list []Instance) {
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
}
