package participant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/rollout"
)

// Errors of a process's part in releases.
var (
	// ErrOrphan: a call came without a token at a method that may not begin traces.
	ErrOrphan = errors.New("the call carries no rollout token and its method is no entry")
	// ErrCallRestricted: the work has said that it does not call the service any more.
	ErrCallRestricted = errors.New("the work has said that it no longer calls this service")
)

// Agent is one process's part in the protocol: the rules that it has applied,
// what it has promised, and the ledger of its spans. It is safe for
// concurrent use; reading the rules takes no lock.
type Agent struct {
	cfg    Config
	log    atomic.Pointer[rollout.Log]
	ledger ledger
	graph  outs
	disk   chan struct{}                            // full while something is kept; taken before mu
	ask    func(to rollout.Generation, over func()) // nil: rules come or they don't
	rounds rounds
	cold   atomic.Pointer[chan struct{}] // closed when the rules are known; nil: they are

	mu      sync.Mutex
	kept    kept           // what is applied and promised
	unkept  bool           // what was saved last is something else
	lacks   []string       // what the entry after the last needs and this version does not know
	changed chan struct{}  // closed when the next entry is applied
	running map[string]int // service/version that this process runs
	waiting map[string]int // that wait for their turn to run
	orphans []*Origin      // that have met calls without a token
}

// Config sets up an Agent. Only Process is required.
type Config struct {
	Process string        // registry.Owner.String()
	Cluster string        // whose entries are obeyed, and no other's
	Trust   rollout.Trust // whose signatures count; nil: any entry that continues the log is obeyed

	Saved Saved // what an earlier run has kept
	// OnTooOld is told, once, that the entry after the last needs what this version
	// does not know. It must not use the agent; nil tells nothing.
	OnTooOld func(last rollout.Generation, needs []string)

	// Save keeps it: before a promise counts, and when rules were learnt; never
	// twice at a time. It gives up on a disk that hangs. nil keeps nothing.
	Save func(Saved) error
	// OnLearnt is called when rules were learnt: it has [Agent.Persist] write them
	// down, and returns soon. nil: Learn does it, and says when it fails.
	OnLearnt func()
}

// New makes the agent of a process. What was saved is checked like what
// comes by the network; aside says what of it is not believed, and was left out.
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
	a.ExpireEmpty() // no trace has begun here by the empty log
	if err := a.reload(cfg.Saved); err != nil {
		aside = errors.Join(aside, err)
	}
	a.cfg.Saved = Saved{}
	return a, aside
}

// Log is the rules that the process has applied.
func (a *Agent) Log() *rollout.Log { return a.log.Load() }

// Process names the process.
func (a *Agent) Process() string { return a.cfg.Process }

// Cluster is the system whose rules the process goes by.
func (a *Agent) Cluster() string { return a.cfg.Cluster }

// Since returns the applied entries after a generation, oldest first: what a
// peer with older rules lacks.
func (a *Agent) Since(g rollout.Generation) []rollout.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, found := a.kept.find(g)
	if found {
		i++
	}
	return slices.Clone(a.kept.entries[i:])
}

// HasEntry reports whether the log here holds an entry, or the empty log is meant.
func (a *Agent) HasEntry(p rollout.Position) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.Generation == (rollout.Generation{}) {
		return true
	}
	i, found := a.kept.find(p.Generation)
	return found && a.kept.entries[i].Hash() == p.Hash
}

// Learn applies entries, oldest first, up to the newest that is signed by a key
// that is trusted now; those that are known already are passed over. Nothing is
// applied beyond the first that does not follow (ErrGap, ErrFork). A process
// never goes back; but an entry that ends its log (Entry.Ends) puts the log
// that it stands in, given from where the two part, in its place.
//
// Calls may wait for the rules, so they count before they are kept: a disk that
// is slow, or full, holds none of them up. That is safe, as they are committed;
// after a crash the process learns them again.
func (a *Agent) Learn(entries ...rollout.Entry) error {
	return a.LearnWithin(nil, entries...)
}

// LearnWithin is Learn for entries that come from anywhere: afford is asked before
// each check of a signature.
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

// apply reports whether anything was new.
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

// follows checks, at little cost, that an entry of the agent's cluster stands
// behind another.
func (a *Agent) follows(end rollout.Position, e rollout.Entry) error {
	if e.Cluster != a.cfg.Cluster {
		return fmt.Errorf("generation %v: %w %q, this process of %q", e.Generation, rollout.ErrForeign, e.Cluster, a.cfg.Cluster)
	}
	return e.Follows(end.Generation, end.Hash)
}

// prove applies a chain of entries to the log before it: the first n, up to
// the newest that is vouched for and that this version can obey. lacks is what
// the next one needs of it. What nobody vouches for costs no more than the
// checks of signatures that afford allows.
func (a *Agent) prove(log *rollout.Log, chain []rollout.Entry, afford func() bool) (n int, _ *rollout.Log, lacks []string, failed error) {
	logs := []*rollout.Log{log}
	n, failed = rollout.Vouched(a.cfg.Trust, chain, afford)
	for i, e := range chain[:n] {
		next, err := log.Apply(e)
		if err != nil { // entries before it are worth what a signature among them is worth
			n, failed = rollout.Vouched(a.cfg.Trust, chain[:i], afford)
			lacks, failed = e.UnknownNeeds(), errors.Join(err, failed)
			break
		}
		log, logs = next, append(logs, next)
	}
	return n, logs[n], lacks, failed
}

// replace takes the log that entries are part of, when one of them ends the log
// that is applied here. ended is false when none does.
func (a *Agent) replace(entries []rollout.Entry, afford func() bool) (ended bool, err error) {
	log := a.log.Load()
	end := slices.IndexFunc(entries, func(e rollout.Entry) bool { return slices.Contains(e.Ends, log.Tip()) })
	if end < 0 {
		return false, nil
	}
	join := 0 // of the entries here, those that stand before the given ones
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

// take makes the entries the log that is applied. mu is held.
func (a *Agent) take(entries []rollout.Entry, log *rollout.Log) {
	if p := a.kept.promise; p == nil || !log.Last().Before(p.Generation) {
		a.kept = kept{} // what was promised or barred was for this number or an older one
	}
	a.kept.entries, a.lacks, a.unkept = entries, nil, true
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
}

// Changed is closed when the next entry is applied.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Round is the number of the last round that was answered.
func (a *Agent) Round() uint64 {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	return a.ledger.round
}

// Report answers a round of a drain. A round that is older than the last one
// is told the last one's number; of one that is far above it the process comes
// nearer, and says how far.
func (a *Agent) Report(q rollout.Question) rollout.Report {
	log := a.log.Load() // first: what begins by an older one is counted by then
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

// AwaitIdle waits until the process has applied a generation and nothing that is
// alive reads an older one, or ctx ends: then its report is worth hearing.
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
func (a *Agent) Expire(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().Expire(g))
	a.ledger.wake()
}

// ExpireOutside is Expire for tokens that come from callers which have not shown
// that they are of the site: anybody can make such a call, and keep it up.
func (a *Agent) ExpireOutside(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().ExpireOutside(g))
	a.ledger.wake()
}

// ExpireEmpty makes the process refuse tokens of the empty log, when it has any
// entry: what begins by it now has missed the site's rules.
func (a *Agent) ExpireEmpty() {
	if first := a.Since(rollout.Generation{}); len(first) > 0 {
		a.Expire(first[0].Generation)
	}
}

// Live is the number of spans alive, by generation.
func (a *Agent) Live() map[rollout.Generation]int { return a.ledger.liveSpans() }

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
			where = "made by " + cmp.Or(o.name, "a process without a name")
		}
		out[where] += o.orphans.Load()
	}
	return out
}
