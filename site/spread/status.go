package spread

import (
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
)

// Status is what a host says of itself. Its texts have visible characters only.
type Status struct {
	Cluster    string            `json:"cluster"`
	Host       string            `json:"host"`
	Platform   string            `json:"platform"`
	Version    string            `json:"version"` // of skerry
	Plan       int64             `json:"plan"`    // number of the plan that is obeyed, 0: none
	PlanDigest string            `json:"plan_digest,omitempty"`
	SignedBy   string            `json:"signed_by,omitempty"`
	Locked     bool              `json:"locked"`
	Problem    string            `json:"problem,omitempty"` // of the plan, or of the host
	Instances  []Instance        `json:"instances"`
	Fetching   []string          `json:"fetching,omitempty"` // a line for each artifact that is being fetched
	StoreUsed  int64             `json:"store_used"`         // bytes
	StoreFree  int64             `json:"store_free"`         // bytes above the floor
	Started    time.Time         `json:"started"`            // of the agent
	Labels     map[string]string `json:"labels,omitempty"`
}

// Instance is an instance as its host sees it.
type Instance struct {
	Name         string        `json:"name"` // SERVICE/VERSION#N
	Phase        string        `json:"phase"`
	Since        time.Time     `json:"since,omitzero"`
	PID          int           `json:"pid,omitempty"`
	Ports        []int         `json:"ports,omitempty"`
	Restarts     int           `json:"restarts"`
	CrashLooping bool          `json:"crash_looping"`
	Due          time.Time     `json:"due,omitzero"` // of the next start or kill
	LastExit     string        `json:"last_exit,omitempty"`
	Unenforced   []string      `json:"unenforced,omitempty"`
	LogDropped   int64         `json:"log_dropped,omitempty"` // bytes
	Problem      string        `json:"problem,omitempty"`
	Digest       string        `json:"digest,omitempty"`
	Memory       int64         `json:"memory,omitempty"` // bytes
	CPU          time.Duration `json:"cpu_ns,omitempty"`
}

// The bounds of what is believed of another host.
const (
	mostInstances = 2000
	mostTexts     = 100 // of one list
)

// statusOf reads the answer of another host, which may say anything.
func statusOf(w *agentwire.Status) *Status {
	s := &Status{
		Cluster: text(w.Cluster), Host: text(w.Host), Platform: text(w.Platform), Version: text(w.Version),
		Plan: w.Plan, PlanDigest: text(w.GetPlanDigest()), SignedBy: text(w.GetSignedBy()), Locked: w.Locked,
		Problem: text(w.GetProblem()), Fetching: texts(w.Fetching), StoreUsed: max(0, w.GetStoreUsed()),
		StoreFree: max(0, w.GetStoreFree()), Started: timeOf(w.StartedAt), Instances: []Instance{},
	}
	for _, i := range w.Instances[:min(len(w.Instances), mostInstances)] {
		if i != nil {
			s.Instances = append(s.Instances, instanceOf(i))
		}
	}
	for k, v := range w.Labels {
		if len(s.Labels) == mostTexts {
			break
		}
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[text(k)] = text(v)
	}
	return s
}

func instanceOf(w *agentwire.Instance) Instance {
	i := Instance{Name: text(w.Name), Phase: text(w.Phase), Since: timeOf(w.Since), PID: int(w.GetPid()),
		Restarts: int(w.GetRestarts()), CrashLooping: w.GetCrashLooping(), Due: timeOf(w.DueAt),
		LastExit: text(w.GetLastExit()), Unenforced: texts(w.Unenforced), LogDropped: w.GetLogDropped(),
		Problem: text(w.GetProblem()), Digest: text(w.GetDigest()), Memory: w.GetMemory(),
		CPU: time.Duration(min(max(0, w.GetCpuMs()), maxMS)) * time.Millisecond}
	for _, p := range w.Ports[:min(len(w.Ports), mostTexts)] {
		i.Ports = append(i.Ports, int(p))
	}
	return i
}

const maxMS = int64(1<<63-1) / int64(time.Millisecond)

func text(s string) string { return quote.Text(cut(s)) }

func texts(list []string) (all []string) {
	for _, s := range list[:min(len(list), mostTexts)] {
		all = append(all, text(s))
	}
	return all
}

// timeOf reads microseconds since 1970.
func timeOf(us *int64) time.Time {
	if us == nil || *us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(*us)
}

func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	return new(t.UnixMicro())
}

// wireStatus is what a host says of itself.
func wireStatus(r agent.Report) *agentwire.Status {
	w := &agentwire.Status{Cluster: r.Cluster, Host: r.Host, Plan: r.Plan, Locked: r.Locked,
		Instances: []*agentwire.Instance{}, StartedAt: micros(r.Since), Fetching: r.Fetching}
	if r.SignedBy != "" {
		w.SignedBy = &r.SignedBy
	}
	for _, problem := range []string{r.Problem, r.Network} {
		if problem != "" && w.Problem == nil {
			w.Problem = &problem
		}
	}
	for _, i := range r.Instances {
		w.Instances = append(w.Instances, wireInstance(i))
	}
	return w
}

func wireInstance(i agent.Instance) *agentwire.Instance {
	w := &agentwire.Instance{Name: i.Name, Phase: i.Phase, Since: micros(i.Since), Unenforced: i.Unenforced,
		Pid: new(int32(i.PID)), Restarts: new(int32(i.Restarts)), CrashLooping: &i.CrashLooping,
		LogDropped: &i.LogDropped}
	for _, p := range i.Ports {
		w.Ports = append(w.Ports, int32(p))
	}
	if i.Next != nil {
		w.DueAt = micros(*i.Next)
	}
	if i.LastExit != nil {
		w.LastExit = new(exitText(*i.LastExit))
	}
	if i.Problem != "" {
		w.Problem = &i.Problem
	}
	if i.Artifact != "" {
		w.Digest = new(string(i.Artifact))
	}
	if i.Memory > 0 {
		w.Memory = &i.Memory
	}
	if i.CPU > 0 {
		w.CpuMs = new(i.CPU.Milliseconds())
	}
	return w
}

// exitText is how a program ended, such as "exit status 1".
func exitText(e shim.Exit) string {
	switch {
	case e.Problem != "":
		return e.Problem
	case e.OOM:
		return "killed, as it used more memory than its limit"
	case e.Signal != "":
		return "signal: " + e.Signal
	}
	return "exit status " + strconv.Itoa(e.Code)
}
