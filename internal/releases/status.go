package releases

import (
	"context"
	"slices"

	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/rollout"
)

// Status is the content of `skerry release status`, and its document with --json.
type Status struct {
	Generation   rollout.Generation `json:"generation"` // newest generation of the log
	Open         bool               `json:"open"`
	Release      *rollout.Release   `json:"release,omitempty"` // the open release, or the last one
	Next         string             `json:"next"`              // command for the next step
	Frozen       string             `json:"frozen,omitempty"`
	Environments []Environment      `json:"environments"`
	Versions     []Version          `json:"versions"`
	Processes    []ProcessStatus    `json:"processes"`
	Holders      []Holder           `json:"holders,omitempty"`  // while draining or changing over
	Copies       []Copies           `json:"copies,omitempty"`   // of calls to new versions, by the site's policy
	Pending      []rollout.Entry    `json:"pending,omitempty"`  // promised steps that are not committed
	Envelope     []EnvelopeUse      `json:"envelope,omitempty"` // steps signed by its key and not acknowledged
	Logs         []LogStatus        `json:"logs,omitempty"`     // when the log has forked; the first one is shown
}

// LogStatus is one of several logs of a site.
type LogStatus struct {
	Hash       string             `json:"hash"` // of the last step; identifies the log
	Generation rollout.Generation `json:"generation"`
	Step       string             `json:"step"` // the last step
	By         string             `json:"by"`
	Processes  int                `json:"processes"` // processes that use the log
	Stored     bool               `json:"stored"`    // the database holds it
}

func logsOf(s Site) (out []LogStatus) {
	for _, l := range s.Branches {
		x := LogStatus{Hash: l.Tip.Hash, Generation: l.Tip.Generation, Processes: len(l.Members), Stored: l.Stored}
		if n := len(l.Entries); n > 0 {
			x.Step, x.By = l.Entries[n-1].Step, l.Entries[n-1].By
		}
		out = append(out, x)
	}
	return out
}

// Environment is a set of versions that belong together for one group of requests.
type Environment struct {
	Name     string            `json:"name"`             // live, preview or backup
	Mark     string            `json:"mark,omitempty"`   // of the preview
	Cookie   string            `json:"cookie,omitempty"` // for browsers, NAME=VALUE
	Versions map[string]string `json:"versions"`         // by service
}

// Version is one version of one service.
type Version struct {
	Service string `json:"service"`
	Version string `json:"version"`

	// Role is live, new, next, preview, backup, going, retired, unshipped, unreleased or any.
	Role string `json:"role"`

	Share     float64 `json:"share_percent"` // of the new requests
	Instances int     `json:"instances"`     // up
}

// ProcessStatus is one process with the state of its rules.
type ProcessStatus struct {
	Process
	State     string  `json:"state"` // current, behind, ahead (of this command), too old, silent, ended, forked
	SilentFor float64 `json:"silent_s,omitempty"`
}

// StatusOf computes the status from a state.
func StatusOf(s Site) (Status, error) {
	log, err := s.Log()
	if err != nil {
		return Status{}, err
	}
	st := Status{Generation: log.Last(), Frozen: s.Frozen, Pending: s.Pending, Logs: logsOf(s),
		Envelope: s.Envelope()}
	r, open := s.Newest()
	st.Open, st.Next = open, "skerry release start"
	if last := r; r.Name != "" {
		st.Release, st.Next = &last, NextStep(s, r)
	}
	if s.tooOld() {
		st.Next = "upgrade skerry on this host: its command can't read the log to its end"
	}
	switch {
	case s.restored():
		st.Next = s.Adopting()
	case s.Frozen == "" || s.tooOld():
	case len(s.Signers) > 0 && s.Unvouched(len(s.Signers)-1):
		st.Next = "skerry release log --verify, then skerry release vouch or adopt"
	default:
		st.Next = "mend what is said above (skerry doctor says more); no step can be made before"
	}
	if !open {
		r = rollout.Release{}
	}
	st.Environments = environments(log, r)
	for _, service := range servicesOf(s, log) {
		st.Versions = append(st.Versions, versionsOf(s, log, r, service)...)
	}
	for _, p := range s.processes() {
		st.Processes = append(st.Processes, ProcessStatus{p, s.stateOf(p, log), p.Silent.Seconds()})
	}
	return st, nil
}

// servicesOf returns the services with a rule or with several versions.
func servicesOf(s Site, log *rollout.Log) []string {
	names := log.Services()
	for _, in := range s.Instances {
		if !slices.Contains(names, in.Service) && len(s.Running(in.Service)) > 1 {
			names = append(names, in.Service)
		}
	}
	slices.Sort(names)
	return names
}

func environments(log *rollout.Log, r rollout.Release) []Environment {
	live := Environment{Name: "live", Versions: map[string]string{}}
	for _, service := range log.Services() {
		rule, _ := log.Rule(service)
		live.Versions[service] = rule.Version
	}
	all := []Environment{live}
	if len(r.Modules) == 0 {
		return all
	}
	news, olds := map[string]string{}, map[string]string{}
	for _, m := range concurrents(r).Modules { // exclusive modules have no preview and no backup
		news[m.Service], olds[m.Service] = m.New, m.Old
	}
	switch {
	case len(news) == 0:
	case r.State == rollout.Prepared || r.State == rollout.Ramping:
		all = append(all, Environment{Name: "preview", Mark: r.Mark, Cookie: gateway.PreviewCookie + "=" + r.Mark,
			Versions: news})
	case r.State == rollout.Switched:
		all = append(all, Environment{Name: "backup", Versions: olds})
	}
	return all
}

func versionsOf(s Site, log *rollout.Log, r rollout.Release, service string) []Version {
	rule, known := log.Rule(service)
	names := s.Running(service)
	if known {
		names = append(names, rule.Versions()...)
	}
	for _, m := range r.Modules {
		if m.Service == service {
			names = append(names, m.Old, m.New)
		}
	}
	slices.Sort(names)
	var out []Version
	for _, v := range slices.Compact(names) {
		out = append(out, Version{service, v, role(log, r, service, v), share(rule, known, v),
			len(s.up(service, v))})
	}
	return out
}

// share returns the percentage of the new requests that a version gets.
func share(rule rollout.Rule, known bool, version string) float64 {
	left, own := rollout.Whole, 0
	for _, x := range rule.Split {
		left -= x.PerMyr
		if x.Version == version {
			own += x.PerMyr
		}
	}
	if known && rule.Version == version {
		own += left
	}
	return float64(own) * 100 / rollout.Whole
}

// role returns the role of a version.
func role(log *rollout.Log, r rollout.Release, service, version string) string {
	rule, known := log.Rule(service)
	for _, m := range r.Modules {
		if m.Service != service {
			continue
		}
		going := r.State == rollout.RollingBack || r.State == rollout.Draining || r.State == rollout.Drained
		switch {
		case going && version == r.Outgoing(m):
			return "going"
		case m.Strategy.Exclusive() && r.State == rollout.Switched && version == m.Old && rule.Turn != m.New:
			return "going"
		case m.Strategy.Exclusive() && r.State == rollout.Switched && version == m.Old:
			return "retired"
		case m.Strategy.Exclusive() && r.State == rollout.Prepared && version == m.New:
			return "next"
		case r.State == rollout.Switched && version == m.Old:
			return "backup"
		case r.State == rollout.Prepared && version == m.New:
			return "preview"
		case r.State == rollout.Ramping && version == m.New:
			return "new"
		}
	}
	switch {
	case !known:
		return "any"
	case rule.Version == version:
		return "live"
	case log.Floor(service, version) != (rollout.Generation{}):
		return "retired"
	}
	if r.Name != "" && r.State == rollout.Prepared {
		return "unshipped"
	}
	return "unreleased"
}

// stateOf returns the state of a process's rules.
func (s Site) stateOf(p Process, log *rollout.Log) string {
	switch {
	case s.strays(p.Name, log.Hash()) || p.Applied == log.Last() && p.Hash != "" && p.Hash != log.Hash():
		return "forked"
	case p.Ended:
		return "ended"
	case p.Silent > 0:
		return "silent"
	case len(p.Lacks) > 0:
		return "too old"
	case p.Applied.Before(log.Last()):
		return "behind"
	case log.Last().Before(p.Applied):
		return "ahead"
	}
	return "current"
}

// Look returns the status of a site, with what the open release waits for and what copies of calls have shown.
func Look(ctx context.Context, to Operations) (Status, error) {
	s, err := to.State(ctx)
	if err != nil {
		return Status{}, err
	}
	st, err := StatusOf(s)
	if err != nil {
		return Status{}, err
	}
	st.Holders, st.Copies, err = Waits(ctx, to, s)
	return st, err
}

// Waits asks the processes what the open release waits for, and for the copies of calls to its new versions. It asks
// nothing when there can be neither.
func Waits(ctx context.Context, to Operations, s Site) (holders []Holder, copies []Copies, err error) {
	r, open := s.Newest()
	if !open {
		return nil, nil, nil
	}
	if r.State == rollout.Draining || len(s.ChangingOver()) > 0 {
		if holders, err = to.Holders(ctx); err != nil {
			return nil, nil, err
		}
	}
	copies, err = CopiesOf(ctx, to, r)
	return holders, copies, err
}
