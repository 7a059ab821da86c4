package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// A program of another language has a proxy beside it: `skerry proxy`, under a shim of its own in proxies/NAME.
//
// It is no part of the agent, because its calls must not end with the agent, and no part of the instance's shim, which
// owns one program and has the memory of one. It is a process for each instance and not one for the host: a version
// that is stopped takes its own proxy off the lists and no other, and a proxy that fails concerns one instance. It
// runs as the agent's user, so that the keys of the site stay out of the program's reach, and admits the program's user
// at its socket.
//
// The proxy is there before the instance is started. It leaves before the instance is asked to end: it goes off the
// lists and answers what has come while the program still runs and calls others through it. What a program calls after
// it was asked to end fails.

// proxyGrace is what a proxy has to leave.
const proxyGrace = time.Minute

func (a *Agent) proxyDir(i plan.Instance) string {
	return filepath.Join(a.config.Dir, "proxies", dirName(i))
}

func (a *Agent) proxySocket(i plan.Instance) string {
	return filepath.Join(a.config.Dir, "files", dirName(i), "proxy.sock")
}

// readyProxy starts the proxy of an instance if need be. It returns false while the proxy is not there yet.
func (a *Agent) readyProxy(ctx context.Context, s plan.Step, m artifact.Manifest) (bool, error) {
	now, known := a.proxies.get(s.Instance)
	if !known || !now.alive {
		if a.pace(s.Instance, a.proxyTries) == nil {
			return false, errors.New("its proxy could not be started, and is tried again")
		}
		return false, a.startProxy(ctx, s, m)
	}
	if now.LastExit != nil && now.Phase != string(shim.Up) {
		return false, fmt.Errorf("its proxy ends; skerry agent logs --proxy %s says why", s.Instance)
	}
	_, err := os.Stat(a.proxySocket(s.Instance))
	return err == nil, nil
}

// startProxy starts a proxy with the configuration of the site and the one program.
func (a *Agent) startProxy(ctx context.Context, s plan.Step, m artifact.Manifest) error {
	if a.config.Site == "" {
		return errors.New("the artifact asks for a proxy, which needs the configuration of the site; write " +
			"site: /etc/skerry/skerry.yaml into the agent's configuration")
	}
	if len(m.Run.Ports) > 0 && s.Ports[0] == 0 {
		return fmt.Errorf("a proxy needs to know the port; give %s ports in the plan", s.Instance.Service)
	}
	dir, files := a.proxyDir(s.Instance), filepath.Join(a.config.Dir, "files", dirName(s.Instance))
	if err := errors.Join(statedir.Make(dir), mkdir(files, 0o711)); err != nil {
		return err
	}
	if err := os.Remove(a.proxySocket(s.Instance)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r := record{Instance: s.Instance, Hash: s.Wanted.Hash, Artifact: s.Wanted.Artifact}
	programs := filepath.Join(dir, "programs.json")
	for path, content := range map[string]any{programs: a.programs(s, m),
		filepath.Join(dir, "instance.json"): r} {
		text, err := json.Marshal(content)
		if err == nil {
			err = statedir.WriteFile(path, text)
		}
		if err != nil {
			return err
		}
	}
	spec := &shim.Spec{
		Instance: "proxy of " + s.Instance.String(),
		Command:  a.command[0],
		Args:     []string{"proxy", "--config", a.config.Site, "--programs", programs},
		Dir:      dir,
		Env:      baseEnv(dir),
		Stop:     shim.Stop{Signal: "term", GraceMS: proxyGrace.Milliseconds()},
		Cgroup:   a.cgroup,
	}
	if err := spec.Write(dir); err != nil {
		return err
	}
	err := spawn(ctx, a.command, dir)
	a.proxies.begin(ctx, dir, r)
	return err
}

// programs is the section proxy.programs of a proxy's configuration.
func (a *Agent) programs(s plan.Step, m artifact.Manifest) any {
	type provide struct {
		Service     string   `json:"service"`
		Version     string   `json:"version"`
		Addr        string   `json:"addr"`
		Protocol    string   `json:"protocol,omitempty"`
		Check       string   `json:"check,omitempty"`
		Calls       []string `json:"calls,omitempty"`
		Entry       []string `json:"entry,omitempty"`
		Concurrency int      `json:"concurrency,omitempty"`
		Multiplexed bool     `json:"multiplexed,omitempty"`
	}
	type program struct {
		Listen    string    `json:"listen"`
		User      string    `json:"user,omitempty"`
		Unordered bool      `json:"unordered,omitempty"`
		Calls     []string  `json:"calls,omitempty"`
		Provides  []provide `json:"provides,omitempty"`
	}
	x := m.Run.Proxy
	g := program{Listen: "unix:" + a.proxySocket(s.Instance), User: s.Wanted.Service.User, Unordered: x.Unordered}
	if len(s.Ports) == 0 {
		g.Calls = x.Calls
	} else {
		g.Provides = []provide{{Service: s.Instance.Service, Version: s.Instance.Version,
			Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Ports[0])), Protocol: m.Run.Protocol,
			Check: m.Run.Check, Calls: x.Calls, Entry: x.Entry, Concurrency: x.Concurrency,
			Multiplexed: x.Multiplexed}}
	}
	return map[string]program{s.Instance.Service: g}
}

// leaveProxy has the proxy of an instance leave. It returns true when there is none any more.
func (a *Agent) leaveProxy(ctx context.Context, i plan.Instance) (gone bool, err error) {
	now, known := a.proxies.get(i)
	if !known || !now.alive {
		return true, nil
	}
	if now.Phase == string(shim.Stopping) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err = shim.Ask(ctx, a.proxyDir(i), shim.DoStop, -1)
	if errors.Is(err, shim.ErrGone) {
		return true, nil
	}
	return false, err
}

// keepProxies starts what is missing beside instances that run, and ends what is beside none.
func (a *Agent) keepProxies(ctx context.Context, seen []Instance, steps []plan.Step) {
	needed := map[plan.Instance]bool{}
	for _, s := range steps {
		needed[s.Instance] = s.Do == plan.Start || s.Do == plan.Stop // their steps see to it
	}
	for _, s := range seen {
		i := s.record.Instance
		if !s.alive || !s.record.Proxy || needed[i] {
			continue
		}
		needed[i] = true
		if now, known := a.proxies.get(i); (!known || !now.alive) && s.Phase == string(shim.Up) {
			a.problem(s.Name, a.respawnProxy(ctx, i))
		}
	}
	for _, p := range a.proxies.list() {
		i := p.record.Instance
		if needed[i] {
			continue
		}
		gone, err := a.leaveProxy(ctx, i)
		if _, kept := a.watches.get(i); gone && !kept {
			a.proxies.end(i)
			err = os.RemoveAll(a.proxyDir(i))
		}
		if err != nil {
			a.problem(i.String(), err)
		}
	}
}

// respawnProxy starts the shim of a proxy again, as it was.
func (a *Agent) respawnProxy(ctx context.Context, i plan.Instance) error {
	dir := a.proxyDir(i)
	r, err := readRecord(dir)
	if err != nil {
		return fmt.Errorf("its proxy is lost: %w; skerry agent restart does not bring it back, a new plan does", err)
	}
	t := a.pace(i, a.proxyTries)
	if t == nil {
		return errors.New("its proxy has ended, and is started again")
	}
	err = spawn(ctx, a.command, dir)
	a.proxies.begin(ctx, dir, r)
	return err
}

// pace notes a start now, or returns nil when it is too early.
func (a *Agent) pace(i plan.Instance, of map[plan.Instance]*tries) *tries {
	t := of[i]
	if t == nil {
		t = &tries{}
		of[i] = t
	}
	now := time.Now()
	if now.Before(t.next) {
		a.again(t.next)
		return nil
	}
	ran := time.Duration(0)
	if !t.began.IsZero() {
		ran = now.Sub(t.began)
	}
	t.next = now.Add(t.Ended(now, ran, a.jitter()))
	t.began = now
	return t
}

// proxyPhase is the phase of a proxy, for reports.
func proxyPhase(ctx context.Context, dir string, r record) string {
	if !r.Proxy {
		return ""
	}
	return cmp.Or(see(ctx, filepath.Join(dir, "proxies", dirName(r.Instance)), r).Phase, Gone)
}
