package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

// releasePage answers: where does the release stand, what is next, and do the new versions keep their bounds?
type releasePage struct {
	Status  releases.Status `json:"status"`
	Lines   []releases.Line `json:"lines"` // as skerry release status says it
	Stages  []stage         `json:"stages"`
	Changes []string        `json:"changes,omitempty"`     // versions that are to be stopped or started
	Turned  string          `json:"turned_back,omitempty"` // why the guard has turned the release back
	Pairs   []pair          `json:"modules"`
	Others  []ready         `json:"ready,omitempty"` // running versions that can be shipped
	Log     []rollout.Entry `json:"log"`             // of the release, newest first
	Next    next            `json:"next"`
	Back    bool            `json:"may_roll_back"`
	Behind  int             `json:"processes_behind"`
	Step    *progress       `json:"step,omitempty"` // that this console makes, or has made last

	Ask *ask `json:"-"` // a step that was planned, and waits for an answer
}

// stage is one of the five stages of a release.
type stage struct {
	Name  string    `json:"name"` // start, ship, try, commit, back, clean
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitempty"`
	What  phrase    `json:"-"`
}

// The states of a stage, which are classes of the pages, too.
const (
	stageDone = "done"
	stageNow  = "now"
	stageTodo = "todo"
)

// pair is a service with its old and its new version.
type pair struct {
	Service  string         `json:"service"`
	Old      side           `json:"old"`
	New      side           `json:"new"`
	Strategy string         `json:"strategy,omitempty"`
	Failures float64        `json:"max_failures_percent,omitempty"` // bounds of the guard that the module declares
	P99      time.Duration  `json:"max_p99_ns,omitempty"`
	Least    int64          `json:"min_calls,omitempty"`
	Unwell   phrase         `json:"-"` // the bound that the last minute breaks; empty: none
	Copies   []copiesOfCall `json:"copies,omitempty"`
}

type copiesOfCall = releases.Copies

// side is a version of a pair, with the calls of the last minute by its callers' counts.
type side struct {
	Version string        `json:"version"`
	Role    string        `json:"role"`
	Share   float64       `json:"share_percent"`
	Up      int           `json:"up"`
	Rate    float64       `json:"calls_per_second"`
	Calls   int64         `json:"calls_last_minute"`
	Failed  float64       `json:"failed_percent"`
	P99     time.Duration `json:"p99_ns,omitempty"` // 0: not known
}

// ready is a running version that the open release has not shipped.
type ready struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Up      int    `json:"instances"`
}

// next is the step that is next.
type next struct {
	Action  string `json:"action,omitempty"` // start, ship, commit, rollback, clean; "": nothing that a button does
	Command string `json:"command"`          // that skerry release status names
	What    phrase `json:"-"`
}

// releaseSite is the state of the site's releases.
func (s *snapshot) releaseSite() releases.Site {
	return releases.Site{Status: s.Rollout, Instances: s.Entries, Signers: s.Signers}
}

func (s *snapshot) releasePage(*http.Request) (any, error) { return s.release() }

func (s *snapshot) release() (releasePage, error) {
	site := s.releaseSite()
	st, err := releases.StatusOf(site)
	if err != nil {
		return releasePage{}, &notFound{say("release.unread", "why", err.Error())}
	}
	st.Holders, st.Copies = s.Holders, s.Copies
	slices.SortFunc(st.Holders, func(a, b releases.Holder) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Process, b.Process))
	})
	p := releasePage{Status: st, Lines: releases.Headline(st, s.At), Changes: site.Changes()}
	r := rollout.Release{}
	if st.Release != nil {
		r = *st.Release
		p.Turned = site.TurnedBack()
		for _, e := range slices.Backward(s.Rollout.Trail) {
			if e.Release == r.Name {
				p.Log = append(p.Log, e)
			}
		}
	}
	for _, m := range st.Processes {
		if m.State == "behind" || m.State == "silent" || m.State == "forked" {
			p.Behind++
		}
	}
	p.Stages = stagesOf(st, site, p.Log)
	if st.Open {
		p.Pairs = s.pairs(st, r)
	}
	for _, v := range st.Versions {
		if st.Open && r.State == rollout.Prepared && v.Instances > 0 && (v.Role == "unshipped" || v.Role == "any") {
			p.Others = append(p.Others, ready{v.Service, v.Version, v.Instances})
		}
	}
	p.Next = nextOf(st, site)
	p.Back = st.Open && (r.State == rollout.Prepared || r.State == rollout.Ramping || r.State == rollout.Switched)
	return p, nil
}

// nextOf says which step is next, of a status.
func nextOf(st releases.Status, site releases.Site) next {
	n := next{Command: st.Next}
	if st.Frozen != "" || len(st.Pending) > 0 || site.Whole() != nil {
		n.What = say("release.next-mend")
		return n
	}
	if !st.Open {
		n.Action, n.What = "start", say("release.next-start")
		return n
	}
	r := *st.Release
	changing := len(site.ChangingOver()) > 0
	switch r.State {
	case rollout.Prepared:
		n.Action, n.What = "commit", say("release.next-try")
		if len(r.Modules) == 0 {
			n.Action, n.What = "ship", say("release.next-ship")
		}
	case rollout.Ramping:
		n.Action, n.What = "commit", say("release.next-ramp", "share", releases.Percent(r.Share))
	case rollout.Switched:
		n.Action, n.What = "clean", say("release.next-clean", "versions", releases.Versions(r, r.Outgoing))
		if changing {
			n.Action, n.What = "commit", say("release.next-change")
		}
	case rollout.RollingBack:
		n.Action, n.What = "clean", say("release.next-clean", "versions", releases.Versions(r, r.Outgoing))
		if changing {
			n.Action, n.What = "rollback", say("release.next-change")
		}
	default:
		n.Action, n.What = "clean", say("release.next-drain", "versions", releases.Versions(r, r.Outgoing))
	}
	return n
}

// stagesOf are the stages of the newest release, with the time and operator of each, by its log, newest entry first.
func stagesOf(st releases.Status, site releases.Site, log []rollout.Entry) []stage {
	names := []string{"start", "ship", "try", "commit", "clean"}
	at := map[string]rollout.Entry{} // the entry that has done a stage, or brought it furthest
	for _, e := range slices.Backward(log) {
		r := e.Session
		switch {
		case r == nil:
		case r.Finished():
			at["clean"] = e
		case r.State == rollout.Draining || r.State == rollout.Drained:
			at["clean"] = e
		case r.Back:
			names[3], at["back"] = "back", e
		case r.State == rollout.Ramping || r.State == rollout.Switched:
			at["commit"] = e
		case len(r.Modules) > 0:
			at["ship"] = e
		case at["start"].Session == nil:
			at["start"] = e
		}
	}
	present := 0
	r := rollout.Release{}
	if st.Open {
		r, present = *st.Release, 1
	}
	switch {
	case !st.Open && st.Release == nil:
	case !st.Open:
		present = len(names) // it is over
	case r.State == rollout.Draining, r.State == rollout.Drained:
		present = 4
	case r.State == rollout.Switched, r.State == rollout.RollingBack:
		if present = 4; len(site.ChangingOver()) > 0 {
			present = 3
		}
	case r.State == rollout.Ramping:
		present = 3
	case len(r.Modules) > 0:
		present = 2
	}
	var list []stage
	for i, name := range names {
		g := stage{Name: name, State: stageTodo}
		if e, ok := at[name]; ok {
			g.Since, g.By = e.At, e.By
		}
		switch {
		case i < present:
			g.State = stageDone
		case i == present:
			g.State = stageNow
		}
		g.What = stageText(name, g.State, r)
		list = append(list, g)
	}
	return list
}

// stageText says more of a stage than its name.
func stageText(name, state string, r rollout.Release) phrase {
	shipped := releases.Versions(r, func(m rollout.Module) string { return m.New })
	switch {
	case state == stageTodo && name == "clean":
		return say("release.content")
	case state == stageTodo:
		return phrase{}
	case name == "ship" && len(r.Modules) > 0:
		return plain(shipped)
	case name == "try" && state == stageNow:
		return say("release.try-now")
	case name == "commit" && r.State == rollout.Ramping:
		return say("release.at", "share", releases.Percent(r.Share))
	case name == "clean" && (r.State == rollout.Draining || r.State == rollout.Drained):
		return plain(string(r.State))
	case name == "clean" && state == stageNow:
		return say("release.content")
	}
	return phrase{}
}

// pairs are the modules of the open release with the calls of the last minute.
func (s *snapshot) pairs(st releases.Status, r rollout.Release) (list []pair) {
	type key struct{ service, version string }
	calls := tally(s.Flows, func(f flow) (key, bool) { return key{f.Service, f.Version}, true })
	sideOf := func(service, version string) side {
		out := side{Version: version}
		for _, v := range st.Versions {
			if v.Service == service && v.Version == version {
				out.Role, out.Share, out.Up = v.Role, v.Share, v.Instances
			}
		}
		f := of(calls, key{service, version})
		out.Rate, out.Calls, out.Failed, out.P99 = f.Rate(), f.Calls, f.Share(), f.P99()
		return out
	}
	for _, m := range r.Modules {
		b := releases.BoundsOf(r, m.Service)
		p := pair{Service: m.Service, Strategy: string(m.Strategy), Old: sideOf(m.Service, m.Old),
			New: sideOf(m.Service, m.New)}
		if b.Watches() {
			p.Failures, p.P99, p.Least = 100*b.Failures, b.P99, b.Least()
			switch {
			case p.New.Calls < p.Least:
			case b.Failures > 0 && p.New.Failed > p.Failures:
				p.Unwell = say("release.fails-more", "share", number.Percent(b.Failures, 4))
			case b.P99 > 0 && p.New.P99 > b.P99:
				p.Unwell = say("release.slower", "bound", number.Latency(b.P99))
			}
		}
		for _, c := range st.Copies {
			if c.Service == m.Service && c.Version == m.New {
				p.Copies = append(p.Copies, c)
			}
		}
		list = append(list, p)
	}
	return list
}

// Judged reports whether the guard's bounds can be compared with the last minute.
func (p pair) Judged() bool { return p.Least > 0 && p.New.Calls >= p.Least }

// Preview is the environment of the verifiers, nil without one.
func (p releasePage) Preview() *releases.Environment {
	for i := range p.Status.Environments {
		if p.Status.Environments[i].Name == "preview" {
			return &p.Status.Environments[i]
		}
	}
	return nil
}

// Shares are the shares of a ramp that skerry release commit takes without others, with the present one.
func (p releasePage) Shares() string {
	if r := p.Status.Release; r != nil && r.State == rollout.Ramping {
		return releases.Percent(r.Share) + ",100%"
	}
	return "10,50,100"
}

// Exclusive reports whether a module may not run in two versions at once, so that there are no shares.
func (p releasePage) Exclusive() bool {
	r := p.Status.Release
	return r != nil && slices.ContainsFunc(r.Modules, func(m rollout.Module) bool { return m.Strategy.Exclusive() })
}

// heldFor is how long a holder has held a version, 0 when it is not known.
func heldFor(h releases.Holder, now time.Time) time.Duration {
	if h.Inflight != nil && h.Inflight.For > 0 {
		return h.Inflight.For
	}
	if h.Since.IsZero() {
		return 0
	}
	return max(0, now.Sub(h.Since))
}
