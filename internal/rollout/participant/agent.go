package participant

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// Errors of a process's part in releases.
var (
	// ErrOrphan: a call without a token reached a method that may not begin
	// traces.
	ErrOrphan = errors.New("the call carries no rollout token, and its method is not an entry, which may begin a trace")
	// ErrCallRestricted: the work has excluded the service by RestrictCalls.
	ErrCallRestricted = errors.New("the work has declared that it no longer calls this service (RestrictCalls)")
)

// Agent is one process's part in the protocol: the applied rules, the promises,
// and the ledger of its spans. It is safe for concurrent use. Reading the rules
// takes no lock.
type Agent struct {
	cfg    Config
	log    atomic.Pointer[rollout.Log]
	ledger ledger
	graph  graphPart
	disk   chan struct{}                            // a lock for writes to disk, taken before mu
	ask    func(to rollout.Generation, over func()) // asks for missing rules; nil: the process does not ask
	rounds rounds
	start  atomic.Pointer[chan struct{}] // closed when the process has asked for the site's rules; nil: it has

	mu      sync.Mutex
	kept    kept           // applied and promised entries
	unsaved bool           // the saved state differs from kept
	lacks   []string       // needs of the next entry that this version does not understand
	changed chan struct{}  // closed when the next entry is applied
	running map[string]int // service/version that run here
	waiting map[string]int // service/version that wait for their turn
	orphans []*Origin      // origins that received or made calls without a token
}

// Config configures an Agent. Only Process is required.
type Config struct {
	Process string        // registry.Owner.String()
	Cluster string        // entries of other clusters are refused
	Trust   rollout.Trust // decides which signatures count; nil: all entries that continue the log are obeyed

	Saved Saved // state that an earlier run saved
	// OnTooOld is called when this version of skerry does not understand needs of
	// the entry after last, once for the same needs. It must not use the agent.
	// nil: not called.
	OnTooOld func(last rollout.Generation, needs []string)

	// Save writes the state to disk, before a promise counts and after rules
	// were learnt. It is never called twice at a time. It must return an error
	// when the disk hangs. nil: nothing is saved.
	Save func(Saved) error
	// OnLearnt is called after rules were learnt. It must return soon, and have
	// [Agent.Persist] called later. nil: Learn calls Persist and returns its
	// error.
	OnLearnt func()
}

// New returns the agent of a process. Saved state is checked like entries from
// the network. aside describes the part that failed the check and was left out.
func New(cfg Config) (a *Agent, aside error) {
	if cfg.Save == nil {
		cfg.Save = func(Saved) error { return nil }
	}
	a = &Agent{cfg: cfg, disk: make(chan struct{}, 1), changed: make(chan struct{})}
	a.log.Store(rollout.NewLog(cfg.Cluster))
	entries, aside := cfg.Saved.open()
	if _, err := a.apply(entries, nil); err != nil {
		aside = errors.Join(aside, err)
	}
	a.unsaved = false
	a.ExpireEmpty() // no trace has begun here with the empty log
	if err := a.reload(cfg.Saved); err != nil {
		aside = errors.Join(aside, err)
	}
	a.cfg.Saved = Saved{}
	return a, aside
}

// Log returns the rules that the process has applied.
func (a *Agent) Log() *rollout.Log { return a.log.Load() }

// Process returns the name of the process.
func (a *Agent) Process() string { return a.cfg.Process }

// Cluster returns the cluster that the process belongs to.
func (a *Agent) Cluster() string { return a.cfg.Cluster }

// Since returns the applied entries after a generation, oldest first.
func (a *Agent) Since(g rollout.Generation) []rollout.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, found := a.kept.find(g)
	if found {
		i++
	}
	return slices.Clone(a.kept.entries[i:])
}

// HasEntry reports whether the log here holds an entry. The empty log counts as
// held.
func (a *Agent) HasEntry(p rollout.Position) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.Generation == (rollout.Generation{}) {
		return true
	}
	i, found := a.kept.find(p.Generation)
	return found && a.kept.entries[i].Hash() == p.Hash
}

// Changed returns a channel that is closed when the next entry is applied.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}
