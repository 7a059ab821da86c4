package rollout

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Drain decides when the old version of a service may stop: after one round,
// begun after the switch, in which every process that is not dead for certain
// has applied the switch, names nothing older that may reach the service, and
// executes nothing of the old version. The windows of the answers must reach
// back to before the round began; another controller can have cut them short,
// and then one more round is needed.
//
// Why one is enough: let a trace of an older generation be alive when the
// round begins, and be able to reach the service. One of its spans that can is
// alive somewhere then, or a call on its way is counted by its sender, and the
// window of that process's answer reaches back so far. A trace that begins
// later does so where the switch is not applied, and its root is in a window.
//
// A Drain is a value that one controller owns; a new controller begins anew.
type Drain struct {
	Service string
	Old     string     // version that is to go
	Since   Generation // generation that no longer sends newcomers to it

	round   uint64
	members map[string]*state // of the current round
	doubts  map[string]bool   // services of which the graph may not know everything
}

type state struct {
	report   *Report // merged; nil: silent so far
	dead     bool
	last     Report // newest of any round, for Blockers
	everSeen bool
	before   uint64 // newest round that it was known to have answered when this one began
}

// Clone is an independent copy, without what the named processes have answered
// in this round: for tests that follow several courses of events.
func (d *Drain) Clone(except ...string) Drain {
	c := *d
	c.members = make(map[string]*state, len(d.members))
	for m, s := range d.members {
		copied := *s
		if slices.Contains(except, m) {
			copied.report = nil
		}
		c.members[m] = &copied
	}
	return c
}

// Answer is what a process has answered in this round, nil for nothing, and the
// newest round that it was known to have answered when this one began.
func (d *Drain) Answer(process string) (r *Report, before uint64) {
	if s := d.members[process]; s != nil {
		return s.report, s.before
	}
	return nil, 0
}

// Open begins the next round among the processes that are registered now, at
// a number above every number used before (rounds of one site are counted in
// one place). A round before it that is not complete is given up. Processes
// that were certified dead stay so.
func (d *Drain) Open(round uint64, members []string) {
	old := d.members
	d.round, d.members = max(round, d.round+1), map[string]*state{}
	for _, m := range members {
		s := &state{}
		if o := old[m]; o != nil {
			*s = state{dead: o.dead, last: o.last, everSeen: o.everSeen, before: o.last.Round}
		}
		d.members[m] = s
	}
	for m, o := range old {
		// Silence is not death: a process that vanished from the list without
		// a certificate goes on holding the drain back.
		if d.members[m] == nil && !o.dead {
			d.members[m] = &state{last: o.last, everSeen: o.everSeen, before: o.last.Round}
		}
	}
}

// Round is the number of the current round.
func (d *Drain) Round() uint64 { return d.round }

// Preload notes a report that was heard before the first round.
func (d *Drain) Preload(r Report) {
	if d.members == nil {
		d.members = map[string]*state{}
	}
	d.members[r.Process] = &state{last: r, everSeen: true}
}

// Add merges a report of the current round; others are only noted, as an old
// report may arrive after a newer one.
func (d *Drain) Add(r Report) {
	s := d.members[r.Process]
	if s == nil || s.everSeen && r.Round < s.last.Round {
		return
	}
	s.last, s.everSeen = r, true
	if r.Round != d.round {
		return
	}
	merged := r
	if s.report != nil { // the question was asked twice
		merged.Inflight = slices.Concat(s.report.Inflight, r.Inflight)
		merged.Applied = minGeneration(s.report.Applied, r.Applied)
		merged.After = max(s.report.After, r.After)
	}
	s.report = &merged
}

// MarkDead records a death certificate: the process's host says that the pid is
// gone, its connections are reset and its lease and the longest call deadline
// are over, or an operator says so.
func (d *Drain) MarkDead(process string) {
	if s := d.members[process]; s != nil {
		s.dead = true
	}
}

// MarkIncomplete says that a service is served by others, too, than by the processes
// that report: what it calls is not known.
func (d *Drain) MarkIncomplete(service string) {
	if d.doubts == nil {
		d.doubts = map[string]bool{}
	}
	d.doubts[service] = true
}

// Complete reports whether everybody alive has answered the round. When it
// holds, the caller closes the round.
func (d *Drain) Complete() bool {
	for _, s := range d.members {
		if !s.dead && s.report == nil {
			return false
		}
	}
	return d.round > 0
}

// Close ends a complete round and reports whether the old version is drained.
func (d *Drain) Close() bool {
	if !d.Complete() || len(d.blocking()) > 0 {
		return false
	}
	for _, s := range d.members {
		if !s.dead && s.report.After > s.before {
			return false // its window was cut short
		}
	}
	return true
}

// ReliedOn are the services whose word was taken that they lead nowhere near the
// old version, with the processes that gave it: see MarkIncomplete.
func (d *Drain) ReliedOn() map[string][]string {
	g, set := d.graph(), map[string]bool{}
	for _, s := range d.members {
		if s.dead || s.report == nil {
			continue
		}
		for _, h := range s.report.Inflight {
			if h.Generation.Before(d.Since) && g.Path(*s.report, h, d.Service) == nil {
				g.below(set, g.first(*s.report, h))
			}
		}
	}
	out := map[string][]string{}
	for name, s := range d.members {
		for _, service := range s.last.Serves {
			if set[service] && !s.dead {
				out[service] = append(out[service], name)
			}
		}
	}
	return out
}

// Candidates are the processes that, by what they and the others said last,
// can have work that holds the drain back: a controller lets them answer when
// they have none any more ([Question.Wait]).
func (d *Drain) Candidates() map[string]bool {
	g, out := d.graph(), map[string]bool{}
	for name, s := range d.members {
		if s.everSeen && (slices.Contains(s.last.Serves, d.Service) || g.Path(s.last, Inflight{}, d.Service) != nil) {
			out[name] = true
		}
	}
	return out
}

// graph is what all who are alive have said last; in a complete round, in it.
func (d *Drain) graph() *Graph {
	g := &Graph{doubts: d.doubts}
	for _, s := range d.members {
		if !s.dead && s.everSeen {
			g.Add(s.last)
		}
	}
	return g
}

// Why a process holds a drain back.
const (
	silent  = "silent"
	behind  = "behind"
	holding = "holding"
	serving = "serving"
)

// Blocker is one reason why the old version can't go yet.
type Blocker struct {
	Process string `json:"process"`

	// Why is "silent" (it has not answered, and may be alive), "behind" (it has
	// not applied the generation of the switch), "holding" (it has work that may
	// still call the old version) or "serving" (the old version executes calls
	// there).
	Why   string     `json:"why"`
	Least Generation `json:"least"` // oldest generation it holds (holding), last applied (behind, silent)
	Calls int        `json:"calls"` // running calls (serving)

	// Of holding: the oldest work, and the way by which it may come to call
	// the version: its own name first, the service last.
	Inflight *Inflight `json:"held,omitempty"`
	Path     []string  `json:"path,omitempty"`
}

// Silent reports whether the process has not answered.
func (b Blocker) Silent() bool { return b.Why == silent }

// Blockers lists who holds the drain back now, by name: those found in the
// round so far, and those who are silent.
func (d *Drain) Blockers() []Blocker {
	out := d.blocking()
	for name, s := range d.members {
		if !s.dead && s.report == nil {
			out = append(out, Blocker{Process: name, Why: silent, Least: s.last.Applied})
		}
	}
	slices.SortFunc(out, func(a, b Blocker) int {
		return cmp.Or(strings.Compare(a.Process, b.Process), strings.Compare(a.Why, b.Why))
	})
	return out
}

// blocking are the blockers among those who answered.
func (d *Drain) blocking() []Blocker {
	var out []Blocker
	g := d.graph()
	for _, name := range slices.Sorted(maps.Keys(d.members)) {
		s := d.members[name]
		r := s.report
		if s.dead || r == nil {
			continue
		}
		if r.Applied.Before(d.Since) {
			out = append(out, Blocker{Process: name, Why: behind, Least: r.Applied})
		}
		if h, path := d.oldest(g, *r); h != nil {
			out = append(out, Blocker{Process: name, Why: holding, Least: h.Generation, Inflight: h, Path: path})
		}
		if n := r.Running[d.Service+"/"+d.Old]; n > 0 {
			out = append(out, Blocker{Process: name, Why: serving, Calls: n})
		}
	}
	return out
}

// oldest is the oldest work of a process that may reach the old version, and how.
func (d *Drain) oldest(g *Graph, r Report) (oldest *Inflight, way []string) {
	for _, h := range r.Inflight {
		if !h.Generation.Before(d.Since) || oldest != nil && !older(h, *oldest) {
			continue
		}
		if path := g.Path(r, h, d.Service); path != nil {
			oldest, way = &h, path
		}
	}
	return oldest, way
}

// older prefers, among equals, what is alive.
func older(a, b Inflight) bool {
	return cmp.Or(a.Generation.Compare(b.Generation), cmp.Compare(min(b.Live, 1), min(a.Live, 1))) < 0
}

func minGeneration(a, b Generation) Generation {
	if b.Before(a) {
		return b
	}
	return a
}
