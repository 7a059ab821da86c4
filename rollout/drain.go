package rollout

import (
	"maps"
	"slices"
	"strings"
)

// Report is what one process says in a round.
type Report struct {
	Process string                `json:"process"` // registry.Owner.String()
	Round   uint64                `json:"round"`
	Applied Generation            `json:"applied"`           // newest generation of its log
	Hash    string                `json:"hash"`              // of its log
	Least   map[string]Generation `json:"least,omitempty"`   // by service: Ledger.Report
	Running map[string]int        `json:"running,omitempty"` // by service/version: calls being executed here

	Needs map[string]int `json:"needs,omitempty"` // by service: spans alive now that may call it
	Runs  []string       `json:"runs,omitempty"`  // service/version that this process runs
	Waits []string       `json:"waits,omitempty"` // service/version whose turn to run it waits for
	Place string         `json:"place,omitempty"` // of the process; see Owner
}

// drainRounds is how many full rounds in a row must be clean. One is enough
// by the exhaustive search, when the reports of a round are windowed and no
// process answered an earlier controller; the second makes it true always.
const drainRounds = 2

// Drain decides when the old version of a service may stop. It is a value
// that one controller owns; a new controller begins anew.
type Drain struct {
	Service string
	Old     string     // version that is to go
	Since   Generation // generation that no longer sends newcomers to it

	round   uint64
	clean   int               // full clean rounds in a row
	members map[string]*state // of the current round
}

type state struct {
	report   *Report // min-merged; nil: silent so far
	dead     bool
	last     Report // newest of any round, for Holders
	everSeen bool
}

// Open begins the next round among the processes that are registered now, at
// a number above every number used before (rounds of one site are counted in
// one place). It must not be called before Complete holds for the round
// before. Processes that were certified dead stay so.
func (d *Drain) Open(round uint64, members []string) {
	old := d.members
	d.round, d.members = max(round, d.round+1), map[string]*state{}
	for _, m := range members {
		s := &state{}
		if o := old[m]; o != nil {
			s.dead, s.last, s.everSeen = o.dead, o.last, o.everSeen
		}
		d.members[m] = s
	}
	for m, o := range old {
		// Silence is not death: a process that vanished from the list without
		// a certificate goes on holding the drain back.
		if d.members[m] == nil && !o.dead {
			d.members[m] = &state{last: o.last, everSeen: o.everSeen}
		}
	}
}

// Round is the number of the current round.
func (d *Drain) Round() uint64 { return d.round }

// Take merges a report of the current round; others are ignored, as an old
// report may arrive after a newer one.
func (d *Drain) Take(r Report) {
	s := d.members[r.Process]
	if s == nil || r.Round != d.round {
		return
	}
	s.last, s.everSeen = r, true
	if s.report == nil {
		merged := r
		merged.Least, merged.Running = maps.Clone(r.Least), maps.Clone(r.Running)
		s.report = &merged
		return
	}
	for service, g := range r.Least {
		if old, ok := s.report.Least[service]; !ok || g.Before(old) {
			if s.report.Least == nil {
				s.report.Least = map[string]Generation{}
			}
			s.report.Least[service] = g
		}
	}
	s.report.Applied = minGeneration(s.report.Applied, r.Applied)
	s.report.Running = maps.Clone(r.Running)
}

// Dead records a death certificate: the process's host says that the pid is
// gone, its connections are reset and its lease and the longest call deadline
// are over, or an operator says so.
func (d *Drain) Dead(process string) {
	if s := d.members[process]; s != nil {
		s.dead = true
	}
}

// Complete reports whether everybody alive has answered the round. When it
// holds, the caller closes the round.
func (d *Drain) Complete() bool {
	for _, s := range d.members {
		if !s.dead && s.report == nil {
			return false
		}
	}
	return d.members != nil
}

// Close ends a complete round and reports whether the old version is drained.
func (d *Drain) Close() bool {
	if !d.Complete() {
		return false
	}
	if len(d.holding()) == 0 {
		d.clean++
	} else {
		d.clean = 0
	}
	return d.clean >= drainRounds
}

// Why says how a process holds a drain back.
type Why string

// The reasons of Holder.
const (
	Silent  Why = "silent"  // has not answered; may be alive
	Behind  Why = "behind"  // has not applied the generation of the switch
	Holding Why = "holding" // has work that may still call the old version
	Serving Why = "serving" // the old version is executing calls there
)

// Holder is one reason why the old version can't go yet.
type Holder struct {
	Process string     `json:"process"`
	Why     Why        `json:"why"`
	Least   Generation `json:"least"` // oldest generation it holds (Holding), last applied (Behind, Silent)
	Calls   int        `json:"calls"` // running calls (Serving)
}

// Holders lists who holds the drain back now, by name: those found in the
// round so far, and those who are silent.
func (d *Drain) Holders() []Holder {
	out := d.holding()
	for name, s := range d.members {
		if !s.dead && s.report == nil {
			out = append(out, Holder{Process: name, Why: Silent, Least: s.last.Applied})
		}
	}
	slices.SortFunc(out, func(a, b Holder) int { return strings.Compare(a.Process, b.Process) })
	return out
}

// holding are the holders among those who answered.
func (d *Drain) holding() []Holder {
	var out []Holder
	for name, s := range d.members {
		r := s.report
		if s.dead || r == nil {
			continue
		}
		if r.Applied.Before(d.Since) {
			out = append(out, Holder{Process: name, Why: Behind, Least: r.Applied})
		}
		if g, ok := r.Least[d.Service]; ok && g.Before(d.Since) {
			out = append(out, Holder{Process: name, Why: Holding, Least: g})
		}
		if n := r.Running[d.Service+"/"+d.Old]; n > 0 {
			out = append(out, Holder{Process: name, Why: Serving, Calls: n})
		}
	}
	return out
}

func minGeneration(a, b Generation) Generation {
	if b.Before(a) {
		return b
	}
	return a
}
