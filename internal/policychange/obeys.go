package policychange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry"
)

// Process is what one process obeys of the policy.
type Process struct {
	Process string         `json:"process"`
	Obeys   bool           `json:"obeys"`            // the policy in question, whole
	Number  uint64         `json:"number,omitempty"` // that it obeys; 0: none
	Away    bool           `json:"away,omitempty"`   // it has ended, its host is gone, or the network is cut
	Why     string         `json:"why,omitempty"`
	Lost    []form.Problem `json:"not_obeyed,omitempty"`
}

// Obeys says whether a process obeys an entry.
func Obeys(p control.PolicyProcess, e policylog.Entry) Process {
	out := Process{Process: p.Process, Number: p.Status.Number, Away: p.Away()}
	switch s := p.Status; {
	case p.Ended:
		out.Why = "it has ended, and is still listed"
	case out.Away:
		out.Why = fmt.Sprintf("it does not answer; it is gone or cut off: %v", control.Cause(p.Err))
	case p.Err != nil:
		out.Why = p.Err.Error()
	case s.Obey == sitepolicy.ObeysNone && e.Number > 0:
		out.Why = s.Because
	case s.Hash == e.Hash() && e.Number > 0, s.Number == 0 && e.Number == 0:
		out.Lost, out.Obeys = s.Lost, len(s.Lost) == 0
		if len(s.Lost) > 0 {
			out.Why = "it can't obey " + s.Lost[0].Key + ": " + s.Lost[0].Text
		}
	case s.Newest > e.Number:
		out.Why = fmt.Sprintf("it has policy %d", s.Newest)
	case s.Because != "":
		out.Why = s.Because
	default:
		out.Why = "it does not have it yet"
	}
	return out
}

// Result is what became of a change.
type Result struct {
	Cluster   string    `json:"cluster"`
	Number    uint64    `json:"number"`
	Hash      string    `json:"hash"`
	Confirm   float64   `json:"confirm_s,omitempty"` // it goes back by itself after that
	Kept      string    `json:"not_kept,omitempty"`  // why the database does not have it
	Obeyed    int       `json:"obeyed"`
	TookMS    int64     `json:"took_ms"`
	Processes []Process `json:"processes"`

	Took       time.Duration `json:"-"`
	Protective bool          `json:"-"` // a process that does not obey it leaves a callee open
}

// obeyTime is how long a change waits to be obeyed.
const obeyTime = 5 * time.Second

// Make signs an entry and brings it to all processes. kept is nil, or why the database does not have it yet. The error
// wraps [policylog.ErrStale] when another change came first.
func (s *Site) Make(ctx context.Context, e policylog.Entry) (put policylog.Entry, kept, err error) {
	before, err := s.Look(ctx) // an operator may have changed it while this one read
	if err != nil {
		return e, nil, unreachablef("find the processes: %w", err)
	}
	put, kept, err = s.Put(ctx, before, e)
	if errors.Is(err, registry.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		err = unreachable{err}
	}
	return put, kept, err
}

// Failed reports whether a process that is not away does not obey a change that protects a callee, or none obeys it.
func (r *Result) Failed() bool {
	disobeys := func(p Process) bool { return !p.Obeys && !p.Away }
	return r.Obeyed == 0 && len(r.Processes) > 0 || r.Protective && slices.ContainsFunc(r.Processes, disobeys)
}

// Outcome waits until all processes obey an entry, for 5 s at most, and says which do. begun is when it was made.
func (s *Site) Outcome(ctx context.Context, e policylog.Entry, kept error, begun time.Time) (Result, error) {
	limited, cancel := context.WithTimeout(ctx, obeyTime)
	defer cancel()
	state, err := s.Await(limited, e)
	if err != nil {
		return Result{}, unreachablef("policy %d is made; which processes obey it is not known: %w", e.Number, err)
	}
	r := Result{Cluster: s.Cluster, Number: e.Number, Hash: e.Hash(), Confirm: e.Confirm.Seconds(),
		Took: time.Since(begun), Processes: []Process{}}
	r.TookMS = r.Took.Milliseconds()
	if kept != nil {
		r.Kept = kept.Error()
	}
	for _, p := range state.Processes {
		said := Obeys(p, e)
		r.Processes = append(r.Processes, said)
		if said.Obeys {
			r.Obeyed++
		}
	}
	p, _, err := form.Understand([]byte(e.Text))
	on := func(plan string) bool {
		return slices.ContainsFunc(e.On, func(on policylog.On) bool { return on.Name == plan })
	}
	r.Protective = err == nil && len(Protective(p, on)) > 0
	return r, nil
}
