package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Agent is one process's part in the protocol: the rules that it has applied,
// what it has promised, and the ledger of its spans. It is safe for
// concurrent use; reading the rules takes no lock.
type Agent struct {
	process string
	save    func(Saved) error
	log     atomic.Pointer[Log]
	ledger  Ledger
	graph   outs
	disk    chan struct{}                    // full while something is kept; taken before mu
	ask     func(to Generation, over func()) // nil: rules come or they don't
	rounds  rounds
	cold    atomic.Pointer[chan struct{}] // closed when the rules are known; nil: they are

	mu      sync.Mutex
	saved   Saved          // what is applied and promised
	changed chan struct{}  // closed when the next entry is applied
	running map[string]int // service/version that this process runs
	waiting map[string]int // that wait for their turn to run
	orphans []*Origin      // that have met calls without a token
}

// Errors of the agent.
var (
	// ErrPromised: another entry with the same number was accepted before.
	ErrPromised = errors.New("another change has been promised for the same generation")
	// ErrOrphan: a call came without a token at a method that may not begin traces.
	ErrOrphan = errors.New("the call carries no rollout token and its method is no entry")
)

// NewAgent makes the agent of a process (registry.Owner.String()) that has
// saved before; save is called with what is to be kept, before a promise counts
// and when rules were learnt, never twice at a time; nil keeps nothing. It fails
// when the saved entries are no log.
func NewAgent(process string, saved Saved, save func(Saved) error) (*Agent, error) {
	if save == nil {
		save = func(Saved) error { return nil }
	}
	a := &Agent{process: process, save: save, disk: make(chan struct{}, 1), changed: make(chan struct{})}
	log := &Log{}
	for _, e := range saved.Entries {
		next, err := log.Apply(e)
		if err != nil {
			return nil, fmt.Errorf("saved rules: %w", err)
		}
		log = next
	}
	a.log.Store(log)
	a.saved = saved
	return a, nil
}

// Log is the rules that the process has applied.
func (a *Agent) Log() *Log { return a.log.Load() }

// Process names the process.
func (a *Agent) Process() string { return a.process }

// Since returns the applied entries after a generation, oldest first: what a
// peer with older rules lacks.
func (a *Agent) Since(g Generation) []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.saved.Entries {
		if g.Before(e.Generation) {
			return slices.Clone(a.saved.Entries[i:])
		}
	}
	return nil
}

// Learn applies committed entries, oldest first; those that are known already
// are passed over. Nothing is applied beyond the first that does not follow
// (ErrGap, ErrFork). A process never goes back.
//
// Calls may wait for the rules, so they count before they are kept: a disk that
// is slow, or full, holds nobody up. That is safe, as they are committed; after
// a crash the process learns them again.
func (a *Agent) Learn(entries ...Entry) error {
	news, failed := a.apply(entries)
	if !news {
		return failed
	}
	a.disk <- struct{}{}
	defer func() { <-a.disk }()
	a.mu.Lock()
	kept := a.saved
	a.mu.Unlock()
	if err := a.save(kept); err != nil {
		return errors.Join(failed, fmt.Errorf("keep the rules: %w", err))
	}
	return failed
}

// apply reports whether anything was new.
func (a *Agent) apply(entries []Entry) (news bool, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	log, applied := a.log.Load(), a.saved.Entries
	for _, e := range entries {
		if i := slices.IndexFunc(applied, func(o Entry) bool { return o.Generation == e.Generation }); i >= 0 {
			if applied[i].Hash() != e.Hash() {
				failed = fmt.Errorf("generation %v is known here with other content: %w", e.Generation, ErrFork)
				break
			}
			continue
		}
		next, err := log.Apply(e)
		if err != nil {
			failed = err
			break
		}
		log, applied = next, append(applied[:len(applied):len(applied)], e)
	}
	if log == a.log.Load() {
		return false, failed
	}
	if p := a.saved.Promise; p == nil || !log.Last().Before(p.Generation) {
		a.saved = Saved{} // what was promised or barred was for this number or an older one
	}
	a.saved.Entries = applied
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
	return true, failed
}

// Changed is closed when the next entry is applied.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Report answers a round of a drain. A round that is older than the last one
// is told the last one's number.
func (a *Agent) Report(q Question) Report {
	log := a.log.Load() // first: what begins by an older one is counted by then
	held, round, after := a.ledger.Report(q.Round, q.Until)
	held = slices.DeleteFunc(held, func(h Held) bool { return h.Generation.Before(log.expired) })
	runs, waits := a.turns()
	serves, calls := a.graph.read()
	return Report{Process: a.process, Round: round, After: after, Applied: log.Last(), Hash: log.Hash(),
		Serves: serves, Calls: calls, Held: held, Running: a.ledger.Running(), Runs: runs, Waits: waits, Orphans: a.orphansBy()}
}

// AwaitEnd waits until the process has applied a generation and nothing that is
// alive reads an older one, or ctx ends: then its report is worth hearing.
func (a *Agent) AwaitEnd(ctx context.Context, until Generation) error {
	for {
		changed, log := a.Changed(), a.log.Load()
		idle, more := a.ledger.idle(log.expired, until)
		if idle && !log.Last().Before(until) {
			return nil
		}
		select {
		case <-changed:
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// MayCall says that work of this process may call services from now on, or
// that nobody knows whom it calls ([Anywhere]). It must be said before the
// first call. Package rpc does so for every client that is made.
func (a *Agent) MayCall(services ...string) { a.graph.call(services...) }

// MayCall is [Agent.MayCall] of the trace's process.
func (t *Trace) MayCall(services ...string) { t.origin.agent.MayCall(services...) }

// Expire makes the process refuse tokens that read a generation before g, in
// calls that come and in calls that go: their traces have passed the longest
// age that they may have after the rules have changed. It lasts as long as
// the process.
func (a *Agent) Expire(g Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().expire(g))
	a.ledger.wake()
}

// Live is the number of spans alive, by generation.
func (a *Agent) Live() map[Generation]int { return a.ledger.Live() }

// Orphans is the number of calls that came or left without a token.
func (a *Agent) Orphans() int64 {
	all := int64(0)
	for _, n := range a.orphansBy() {
		all += n
	}
	return all
}

// orphaned notes an origin with its first orphan.
func (a *Agent) orphaned(o *Origin) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orphans = append(a.orphans, o)
}

// orphansBy counts orphans by where they came in, or by who made them.
func (a *Agent) orphansBy() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.orphans) == 0 {
		return nil
	}
	out := map[string]int64{}
	for _, o := range a.orphans {
		where := o.name
		if o.running == "" {
			where = "made by " + o.name
		}
		out[where] += o.orphans.Load()
	}
	return out
}
