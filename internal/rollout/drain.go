package rollout

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Drain decides when the old version of a service may stop. One round that
// begins after the switch is enough if every process that is not certified dead
//   - has applied the switch,
//   - reports no older work that may reach the service,
//   - executes no call of the old version,
//   - and reports a window that begins before the round.
//
// A question of another controller may have begun a process's window later. Then
// one more round is needed.
//
// Why one round is enough: suppose that a trace of an older generation is alive
// when the round begins, and can reach the service. Then a process counts a span
// of it: one that runs there, or one that has sent a call. The window of that
// process's report includes the beginning of the round, so the report names the
// trace. An older trace that begins later does so in a process without the
// switch, and the report of that process names its root.
//
// A Drain is a value that one controller owns. A new controller starts with an
// empty one.
type Drain struct {
	Service string
	Old     string     // the outgoing version
	Since   Generation // first generation that sends no new traces to it

	round   uint64
	members map[string]*state // processes of the current round
	doubts  map[string]bool   // services with calls that the graph may miss
}

type state struct {
	report   *Report // merged answers of this round; nil: none yet
	dead     bool
	last     Report // newest report of any round, with everSeen
	everSeen bool   // the process has reported in some round
	before   uint64 // newest round that it had answered when this round began
}

// Clone returns an independent copy without the answers of the named processes
// in this round. Tests use it to follow several orders of events.
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

// Answer returns a process's answer in this round, nil if there is none. before
// is the newest round that it had answered when this one began.
func (d *Drain) Answer(process string) (r *Report, before uint64) {
	if s := d.members[process]; s != nil {
		return s.report, s.before
	}
	return nil, 0
}

// Open begins the next round, among the processes that are registered now. round
// is its number, above every number used before: all rounds of a site are
// numbered together. A round that is not complete is given up. Certified deaths
// stay recorded.
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
		// Silence is not death: a process that left the list without a
		// certificate still holds the drain back.
		if d.members[m] == nil && !o.dead {
			d.members[m] = &state{last: o.last, everSeen: o.everSeen, before: o.last.Round}
		}
	}
}

// Round returns the number of the current round.
func (d *Drain) Round() uint64 { return d.round }

// Preload stores a report from before the first round, for Candidates.
func (d *Drain) Preload(r Report) {
	if d.members == nil {
		d.members = map[string]*state{}
	}
	d.members[r.Process] = &state{last: r, everSeen: true}
}

// Add merges a report of the current round. A report of another round is stored
// only if it is newer than the last one of its process.
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
	if s.report != nil { // the process answered before: it was asked twice
		merged.Inflight = slices.Concat(s.report.Inflight, r.Inflight)
		merged.Applied = minGeneration(s.report.Applied, r.Applied)
		merged.After = max(s.report.After, r.After)
	}
	s.report = &merged
}

// MarkDead records that a process is certified dead: another process on its host
// has found that it has ended, or an operator vouches for it.
func (d *Drain) MarkDead(process string) {
	if s := d.members[process]; s != nil {
		s.dead = true
	}
}

// MarkIncomplete records that processes which send no reports serve the service
// as well. The graph then treats its calls as unknown.
func (d *Drain) MarkIncomplete(service string) {
	if d.doubts == nil {
		d.doubts = map[string]bool{}
	}
	d.doubts[service] = true
}

// Complete reports whether every process that is not certified dead has answered
// the round. The caller then calls Close.
func (d *Drain) Complete() bool {
	for _, s := range d.members {
		if !s.dead && s.report == nil {
			return false
		}
	}
	return d.round > 0
}

// Close reports whether the current round is complete and shows that the old
// version is drained.
func (d *Drain) Close() bool {
	if !d.Complete() || len(d.blocking()) > 0 {
		return false
	}
	for _, s := range d.members {
		if !s.dead && s.report.After > s.before {
			return false // its window begins too late: another controller has asked it
		}
	}
	return true
}

// ReliedOn returns the services that older work can reach, and whose processes
// report that they can't reach the old version. The drain relies on these
// reports. The values are the processes that made them. The caller checks that
// no other process serves these services: see MarkIncomplete.
func (d *Drain) ReliedOn() map[string][]string {
	g, set := d.graph(), map[string]bool{}
	for _, s := range d.members {
		if s.dead || s.report == nil {
			continue
		}
		for _, h := range s.report.Inflight {
			if h.Generation.Before(d.Since) && g.Path(*s.report, h, d.Service) == nil {
				g.addReachable(set, g.callees(*s.report, h))
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

// Candidates returns the processes that may have work which can reach the old
// version, by the last reports of all processes. A controller lets them answer
// only when that work has ended ([Question.Wait]).
func (d *Drain) Candidates() map[string]bool {
	g, out := d.graph(), map[string]bool{}
	for name, s := range d.members {
		if s.everSeen && (slices.Contains(s.last.Serves, d.Service) || g.Path(s.last, Inflight{}, d.Service) != nil) {
			out[name] = true
		}
	}
	return out
}

// graph is built from the last report of every process not certified dead. In a
// complete round these are the reports of that round.
func (d *Drain) graph() *Graph {
	g := &Graph{doubts: d.doubts}
	for _, s := range d.members {
		if !s.dead && s.everSeen {
			g.Add(s.last)
		}
	}
	return g
}

// The values of Blocker.Why.
const (
	silent  = "silent"
	behind  = "behind"
	holding = "holding"
	serving = "serving"
)

// Blocker is one reason why the old version can't stop yet.
type Blocker struct {
	Process string `json:"process"`

	// Why is one of "silent" (no answer, may be alive), "behind" (has not
	// applied the generation of the switch), "holding" (has work that may still
	// call the old version), "serving" (runs calls of the old version).
	Why   string     `json:"why"`
	Least Generation `json:"least"` // holding: of the oldest work; behind and silent: the last applied
	Calls int        `json:"calls"` // running calls (serving)

	Streams int      `json:"streams,omitempty"`        // those of them that are open streams
	Methods []string `json:"stream_methods,omitempty"` // of the streams, at most MostMethods; older processes name none

	// For holding: the oldest work, and the path by which it may call the
	// version. The path starts with the work's own name and ends with the
	// service.
	Inflight *Inflight `json:"held,omitempty"`
	Path     []string  `json:"path,omitempty"`
}

// Silent reports whether the process has not answered.
func (b Blocker) Silent() bool { return b.Why == silent }

// Blockers returns what holds the drain back now, sorted by process: the
// blockers in the answers so far, and the processes without an answer.
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

// blocking returns the blockers in the answers of this round.
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
			b := Blocker{Process: name, Why: serving, Calls: n}
			if b.Streams = min(n, max(0, r.Streams[d.Service+"/"+d.Old])); b.Streams > 0 {
				named := r.StreamMethods[d.Service+"/"+d.Old]
				b.Methods = named[:min(len(named), MostMethods)]
			}
			out = append(out, b)
		}
	}
	return out
}

// oldest returns the oldest work of a process that may reach the old version,
// and the path by which it may.
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

// older reports whether a comes before b: by generation, and of equal ones live
// work first.
func older(a, b Inflight) bool {
	return cmp.Or(a.Generation.Compare(b.Generation), cmp.Compare(min(b.Live, 1), min(a.Live, 1))) < 0
}

func minGeneration(a, b Generation) Generation {
	if b.Before(a) {
		return b
	}
	return a
}
