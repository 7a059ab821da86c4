package participant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// Errors of a process's part in releases.
var (
	// ErrOrphan: a call without a token reached a method that may not begin
	// traces.
	ErrOrphan = errors.New("the call carries no rollout token and its method is no entry")
	// ErrCallRestricted: the work has excluded the service by RestrictCalls.
	ErrCallRestricted = errors.New("the work has said that it no longer calls this service")
)

// Agent is one process's part in the protocol: the applied rules, the promises,
// and the ledger of its spans. It is safe for concurrent use. Reading the rules
// takes no lock.
type Agent struct {
	cfg    Config
	log    atomic.Pointer[rollout.Log]
	ledger ledger
	graph  outs
	disk   chan struct{}                            // full during a write to disk; taken before mu
	ask    func(to rollout.Generation, over func()) // asks for missing rules; nil: the process does not ask
	rounds rounds
	cold   atomic.Pointer[chan struct{}] // closed when the rules are known; nil: known

	mu      sync.Mutex
	kept    kept           // applied and promised entries
	unkept  bool           // the saved state differs from kept
	lacks   []string       // needs of the next entry that this version does not understand
	changed chan struct{}  // closed when the next entry is applied
	running map[string]int // service/version that run here
	waiting map[string]int // service/version that wait for their turn
	orphans []*Origin      // those that received calls without a token
}

// Config configures an Agent. Only Process is required.
type Config struct {
	Process string        // registry.Owner.String()
	Cluster string        // entries of other clusters are refused
	Trust   rollout.Trust // decides which signatures count; nil: all entries that continue the log are obeyed

	Saved Saved // state that an earlier run saved
	// OnTooOld is called when this version does not understand the needs of the
	// entry after last, once for the same needs. It must not use the agent.
	// nil: no call.
	OnTooOld func(last rollout.Generation, needs []string)

	// Save writes the state to disk, before a promise counts and after rules
	// were learnt. Calls never overlap. It must give up on a disk that hangs.
	// nil: nothing is saved.
	Save func(Saved) error
	// OnLearnt is called after rules were learnt. It arranges a call of
	// [Agent.Persist] and returns soon. nil: Learn calls Persist and returns
	// its error.
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
	a.unkept = false
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

// Learn applies entries, oldest first, up to the newest that a key trusted now
// has signed. It skips known entries. It stops at the first that does not
// follow (ErrGap, ErrFork). A process never goes back, with one exception: an
// entry that ends its log (Entry.Ends) replaces that log by the entry's own,
// which must be given from the fork on.
//
// The rules count before they are on disk, because calls may wait for them and
// a disk may be slow or full. That is safe: the entries are committed, and the
// process learns them again after a crash.
func (a *Agent) Learn(entries ...rollout.Entry) error {
	return a.LearnWithin(nil, entries...)
}

// LearnWithin is Learn for entries from any sender. afford is called before
// each check of a signature and may refuse it.
func (a *Agent) LearnWithin(afford func() bool, entries ...rollout.Entry) error {
	news, failed := a.apply(entries, afford)
	switch {
	case !news:
		return failed
	case a.cfg.OnLearnt != nil:
		a.cfg.OnLearnt()
		return failed
	}
	return errors.Join(failed, a.Persist())
}

// apply reports whether any entry was new.
func (a *Agent) apply(entries []rollout.Entry, afford func() bool) (news bool, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.lacks
	defer func() {
		if len(a.lacks) > 0 && !slices.Equal(a.lacks, before) && a.cfg.OnTooOld != nil {
			a.cfg.OnTooOld(a.log.Load().Last(), slices.Clone(a.lacks))
		}
	}()
	entries = slices.CompactFunc(slices.Clone(entries), func(x, y rollout.Entry) bool { return x.Hash() == y.Hash() })
	news, failed = a.extend(entries, afford)
	if errors.Is(failed, rollout.ErrFork) {
		if ended, err := a.replace(entries, afford); ended {
			news, failed = news || err == nil, err
		}
	}
	return news, failed
}

// extend applies entries that continue the log.
func (a *Agent) extend(entries []rollout.Entry, afford func() bool) (news bool, failed error) {
	log, chain := a.log.Load(), []rollout.Entry(nil)
	end := log.Tip()
	for _, e := range entries {
		if i, found := a.kept.find(e.Generation); found {
			if known := a.kept.entries[i]; known.Hash() != e.Hash() {
				failed = fmt.Errorf("generation %v is %.8s here and %.8s there: %w", e.Generation, known.Hash(), e.Hash(), rollout.ErrFork)
				break
			}
			continue
		}
		if failed = a.follows(end, e); failed != nil {
			break
		}
		end, chain = e.Position(), append(chain, e)
	}
	n, log, lacks, err := a.prove(log, chain, afford)
	if n < len(chain) {
		failed = errors.Join(err, failed)
	}
	if n > 0 {
		a.take(append(a.kept.entries[:len(a.kept.entries):len(a.kept.entries)], chain[:n]...), log)
	}
	if lacks != nil {
		a.lacks = lacks
	}
	return n > 0, failed
}

// follows checks, at low cost, that an entry belongs to the agent's cluster and
// follows end.
func (a *Agent) follows(end rollout.Position, e rollout.Entry) error {
	if e.Cluster != a.cfg.Cluster {
		return fmt.Errorf("generation %v: %w %q, this process of %q", e.Generation, rollout.ErrForeign, e.Cluster, a.cfg.Cluster)
	}
	return e.Follows(end.Generation, end.Hash)
}

// prove applies a chain of entries to log: the first n, up to the newest that
// is vouched for and that this version can obey. lacks are the next entry's
// needs that it does not understand. Entries without a valid signature cost no
// more than the checks that afford allows.
func (a *Agent) prove(log *rollout.Log, chain []rollout.Entry, afford func() bool) (n int, _ *rollout.Log, lacks []string, failed error) {
	logs := []*rollout.Log{log}
	n, failed = rollout.Vouched(a.cfg.Trust, chain, afford)
	for i, e := range chain[:n] {
		next, err := log.Apply(e)
		if err != nil { // the entries before it need a signature of their own
			n, failed = rollout.Vouched(a.cfg.Trust, chain[:i], afford)
			lacks, failed = e.UnknownNeeds(), errors.Join(err, failed)
			break
		}
		log, logs = next, append(logs, next)
	}
	return n, logs[n], lacks, failed
}

// replace replaces the applied log by the log of the entries, if one of them
// ends the applied one. ended is false if none does.
func (a *Agent) replace(entries []rollout.Entry, afford func() bool) (ended bool, err error) {
	log := a.log.Load()
	end := slices.IndexFunc(entries, func(e rollout.Entry) bool { return slices.Contains(e.Ends, log.Tip()) })
	if end < 0 {
		return false, nil
	}
	join := 0 // number of entries here that stand before the given ones
	if entries[0].Previous != "" {
		join = 1 + slices.IndexFunc(a.kept.entries, func(e rollout.Entry) bool { return e.Hash() == entries[0].Previous })
		if join == 0 {
			return true, fmt.Errorf("%v ends the log here; where the two part is not known yet: %w", entries[end].Generation, rollout.ErrGap)
		}
	}
	from := rollout.Position{}
	if join > 0 {
		from = a.kept.entries[join-1].Position()
	}
	for i, e := range entries {
		if err = a.follows(from, e); err != nil {
			entries = entries[:i]
			break
		}
		from = e.Position()
	}
	if n, unproven := rollout.Vouched(a.cfg.Trust, entries, afford); n <= end {
		return true, errors.Join(err, unproven)
	}
	before, broken := rollout.Replay(a.kept.entries[:join])
	if broken != nil {
		return true, broken
	}
	n, next, lacks, unproven := a.prove(before, entries, afford)
	if n > end {
		a.take(slices.Concat(a.kept.entries[:join], entries[:n]), next.Expire(log.Expired()).ExpireOutside(log.ExpiredOutside()))
	}
	if lacks != nil {
		a.lacks = lacks
	}
	if n <= end {
		return true, errors.Join(err, unproven)
	}
	return true, nil
}

// take makes entries the applied log. mu is held.
func (a *Agent) take(entries []rollout.Entry, log *rollout.Log) {
	if p := a.kept.promise; p == nil || !log.Last().Before(p.Generation) {
		a.kept = kept{} // the promised or barred entry had this number or a lower one
	}
	a.kept.entries, a.lacks, a.unkept = entries, nil, true
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
}

// Changed returns a channel that is closed when the next entry is applied.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Round returns the number of the last round that was answered.
func (a *Agent) Round() uint64 {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	return a.ledger.round
}

// Report answers a round of a drain. The answer to a round older than the last
// one names the last one. For a round far above it, the process advances part
// of the way and names that number.
func (a *Agent) Report(q rollout.Question) rollout.Report {
	log := a.log.Load() // before the ledger: spans that begin with an older log are counted by then
	held, round, after := a.ledger.report(rollout.NearRound(a.Round(), q.Round), q.Until)
	held = slices.DeleteFunc(held, func(h rollout.Inflight) bool {
		return h.Generation.Before(log.Expired()) || h.Outside && h.Generation.Before(log.ExpiredOutside())
	})
	runs, waits := a.turns()
	serves, calls := a.graph.read()
	a.mu.Lock()
	lacks := a.lacks
	a.mu.Unlock()
	return rollout.Report{Knows: rollout.KnownNeeds, Lacks: lacks, Process: a.cfg.Process, Round: round, After: after,
		Applied: log.Last(), Hash: log.Hash(),
		Serves: serves, Calls: calls, Inflight: held, Running: a.ledger.runningSpans(), Runs: runs, Waits: waits, Orphans: a.orphansBy()}
}

// AwaitIdle waits until the process has applied generation until and no live
// work reads an older one, or until ctx ends. A report is useful then.
func (a *Agent) AwaitIdle(ctx context.Context, until rollout.Generation) error {
	for {
		changed, log := a.Changed(), a.log.Load()
		idle, more := a.ledger.idle(log.Expired(), log.ExpiredOutside(), until)
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

// MayCall declares that work of this process may call services from now on.
// [rollout.Anywhere] stands for unknown services. The declaration must precede
// the first call. Package rpc makes it for every client.
func (a *Agent) MayCall(services ...string) { a.graph.call(services...) }

// MayCall is [Agent.MayCall] of the trace's process.
func (t *Trace) MayCall(services ...string) { t.origin.agent.MayCall(services...) }

// Expire makes the process refuse tokens of generations before g, in incoming
// and outgoing calls. Their traces have passed the maximum age after a change
// of the rules. It lasts until the process ends.
func (a *Agent) Expire(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().Expire(g))
	a.ledger.wake()
}

// ExpireOutside is Expire for tokens of callers that have not proved to belong
// to the site. Any program can make such a call and keep it open.
func (a *Agent) ExpireOutside(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().ExpireOutside(g))
	a.ledger.wake()
}

// ExpireEmpty makes the process refuse tokens of the empty log, if its log has
// an entry. A trace that begins with the empty log now has missed the site's
// rules.
func (a *Agent) ExpireEmpty() {
	if first := a.Since(rollout.Generation{}); len(first) > 0 {
		a.Expire(first[0].Generation)
	}
}

// Live returns the number of live spans by generation.
func (a *Agent) Live() map[rollout.Generation]int { return a.ledger.liveSpans() }

// Orphans returns the number of calls without a token, incoming and outgoing.
func (a *Agent) Orphans() int64 {
	all := int64(0)
	for _, n := range a.orphansBy() {
		all += n
	}
	return all
}

// orphaned records an origin at its first orphan.
func (a *Agent) orphaned(o *Origin) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orphans = append(a.orphans, o)
}

// orphansBy returns the orphans by the origin that received or made them.
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
			where = "made by " + cmp.Or(o.name, "a process without a name")
		}
		out[where] += o.orphans.Load()
	}
	return out
}
