package rollout

import (
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
	orphans atomic.Int64
	cold    atomic.Pointer[chan struct{}] // closed when the rules are known; nil: they are

	mu      sync.Mutex
	entries []Entry        // applied, oldest first
	promise *Entry         // accepted from an operator and not yet committed
	changed chan struct{}  // closed when the next entry is applied
	running map[string]int // service/version that this process runs
	waiting map[string]int // that wait for their turn to run
}

// Saved is what an agent must find again after a restart: without it a cold
// process could serve by older rules than it had promised to.
type Saved struct {
	Entries []Entry `json:"entries"`
	Promise *Entry  `json:"promise,omitempty"`
}

// Errors of the agent.
var (
	// ErrPromised: another entry with the same number was accepted before.
	ErrPromised = errors.New("another change has been promised for the same generation")
	// ErrOrphan: a call came without a token at a method that may not begin traces.
	ErrOrphan = errors.New("the call carries no rollout token and its method is no entry")
)

// NewAgent makes the agent of a process (registry.Owner.String()) that has
// saved before; save is called, before anything new is acted upon, with what
// is to be kept; nil keeps nothing. It fails when the saved entries are no log.
func NewAgent(process string, saved Saved, save func(Saved) error) (*Agent, error) {
	if save == nil {
		save = func(Saved) error { return nil }
	}
	a := &Agent{process: process, save: save, changed: make(chan struct{})}
	log := &Log{}
	for _, e := range saved.Entries {
		next, err := log.Apply(e)
		if err != nil {
			return nil, fmt.Errorf("saved rules: %w", err)
		}
		log = next
	}
	a.log.Store(log)
	a.entries, a.promise = slices.Clone(saved.Entries), saved.Promise
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
	for i, e := range a.entries {
		if g.Before(e.Generation) {
			return slices.Clone(a.entries[i:])
		}
	}
	return nil
}

// Learn applies committed entries, oldest first; those that are known already
// are passed over. Nothing is applied beyond the first that does not follow
// (ErrGap, ErrFork). A process never goes back.
func (a *Agent) Learn(entries ...Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	log, applied := a.log.Load(), a.entries
	var failed error
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
		return failed
	}
	promise := a.promise
	if promise != nil && !log.Last().Before(promise.Generation) {
		promise = nil
	}
	if err := a.save(Saved{applied, promise}); err != nil {
		return errors.Join(failed, fmt.Errorf("keep the rules: %w", err))
	}
	a.entries, a.promise = applied, promise
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
	return failed
}

// Promise accepts an entry that an operator proposes where no database orders
// the log: the process will accept no other entry of that number. The entry
// is committed, and then learnt, when every process has promised. Promising
// the same entry again is no error; a promise is kept across restarts.
func (a *Agent) Promise(e Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Generation == a.log.Load().Last() && e.Hash() == a.log.Load().Hash() {
		return nil // committed already
	}
	if _, err := a.log.Load().Apply(e); err != nil {
		return err
	}
	if a.promise != nil && a.promise.Generation == e.Generation && a.promise.Hash() != e.Hash() {
		return fmt.Errorf("generation %v: %w (by release %s)", e.Generation, ErrPromised, a.promise.Release)
	}
	if err := a.save(Saved{a.entries, &e}); err != nil {
		return fmt.Errorf("keep the promise: %w", err)
	}
	a.promise = &e
	return nil
}

// Abandon takes back a promise for exactly this entry, when its operator found
// that not everybody would promise.
func (a *Agent) Abandon(e Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.promise == nil || a.promise.Hash() != e.Hash() {
		return nil
	}
	if err := a.save(Saved{a.entries, nil}); err != nil {
		return fmt.Errorf("take the promise back: %w", err)
	}
	a.promise = nil
	return nil
}

// Promised is the entry that waits for its commit, nil when there is none.
func (a *Agent) Promised() *Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.promise
}

// Changed is closed when the next entry is applied.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Report answers a round of a drain. A round that is older than the last
// one asks for the last one's number.
func (a *Agent) Report(round uint64, services []string, reach Reach) Report {
	least, round := a.ledger.Report(round, services, reach)
	log := a.log.Load()
	runs, waits := a.turns()
	return Report{Process: a.process, Round: round, Applied: log.Last(), Hash: log.Hash(), Least: least, Running: a.ledger.Running(),
		Needs: a.ledger.needs(services, reach), Runs: runs, Waits: waits}
}

// Live is the number of spans alive, by generation.
func (a *Agent) Live() map[Generation]int { return a.ledger.Live() }

// Orphans is the number of calls that came or left without a token.
func (a *Agent) Orphans() int64 { return a.orphans.Load() }
