package skerry

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/rollout"
)

// ages knows since when rules have been in use here, by this process's own
// clock: work that reads older ones is at least so old.
type ages struct {
	mu      sync.Mutex
	applied []applied // oldest first, at most keptAges
}

type applied struct {
	generation rollout.Generation
	at         time.Time
}

const keptAges = 256

// note says that a generation is in use now.
func (a *ages) note(g rollout.Generation, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.applied); n > 0 && !a.applied[n-1].generation.Before(g) {
		return
	}
	a.applied = append(a.applied[max(0, len(a.applied)-keptAges+1):], applied{g, now})
}

// fill writes down how old, at least, the work is.
func (a *ages) fill(held []rollout.Held, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range held {
		for _, e := range a.applied {
			if held[i].Generation.Before(e.generation) {
				held[i].For = now.Sub(e.at)
				break
			}
		}
	}
}

// emptyAge is how long traces that have begun before the site had any rules may
// go on when it has.
const emptyAge = time.Hour

// watchAges notes when rules come into use, and ends the traces that have
// outlived rollout.max_trace_age after a switch.
func (n *Node) watchAges(ctx context.Context) error {
	var switches []applied // that have not expired yet
	last := rollout.Generation{}
	var empty <-chan time.Time
	for {
		changed, log, now := n.rules.Changed(), n.rules.Log(), time.Now()
		if empty == nil && log.Last() != (rollout.Generation{}) {
			empty = time.After(emptyAge)
		}
		n.ages.note(log.Last(), now)
		if r, _ := log.Session(); last.Before(r.Since) {
			last = r.Since
			switches = append(switches, applied{last, now})
		}
		var expiry <-chan time.Time
		for limit := n.cfg.Rollout.MaxTraceAge; limit > 0 && len(switches) > 0; switches = switches[1:] {
			if left := switches[0].at.Add(limit).Sub(now); left > 0 {
				expiry = time.After(left)
				break
			}
			n.rules.Expire(switches[0].generation)
			n.log.Info("work from before a switch is too old and is refused from now on", "before", switches[0].generation.String(), "limit", limit)
		}
		select {
		case <-changed:
		case <-expiry:
		case <-empty:
			n.rules.EndEmpty()
		case <-ctx.Done():
			return nil
		}
	}
}
