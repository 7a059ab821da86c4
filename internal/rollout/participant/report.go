package participant

import (
	"cmp"
	"context"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// Round returns the number of the last round that was answered.
func (a *Agent) Round() uint64 {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	return a.ledger.round
}

// Report answers a round of a drain. The answer names the round that it counts
// for. That is the question's round, with two exceptions. After an answer to a
// later round, it is that later round. If the question's round is far above the
// last answered one, it is a nearer one (see rollout.NearRound).
func (a *Agent) Report(q rollout.Question) rollout.Report {
	log := a.log.Load() // before the ledger is read, which by then counts every span that began with an older log
	held, round, after := a.ledger.report(rollout.NearRound(a.Round(), q.Round), q.Until)
	held = slices.DeleteFunc(held, func(h rollout.Inflight) bool {
		return h.Generation.Before(log.Expired()) || h.Outside && h.Generation.Before(log.ExpiredOutside())
	})
	runs, waits := a.turns()
	serves, calls := a.graph.read()
	a.mu.Lock()
	lacks := a.lacks
	a.mu.Unlock()
	return rollout.Report{
		Process: a.cfg.Process, Round: round, After: after,
		Applied: log.Last(), Hash: log.Hash(), Knows: rollout.KnownNeeds, Lacks: lacks,
		Serves: serves, Calls: calls, Runs: runs, Waits: waits,
		Inflight: held, Running: a.ledger.runningSpans(), Orphans: a.orphansBy(),
	}
}

// AwaitIdle waits until the process has applied the generation until, and has no
// live work that reads an earlier one. The error is that of ctx. A report that is
// made then does not hold a drain back.
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
