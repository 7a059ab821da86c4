package membership

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
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
func (a *ages) fill(held []rollout.Inflight, now time.Time) {
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

// switches are the generations of switches, and when they came into use here.
type switches struct {
	all  []applied // that have not expired yet, oldest first
	last rollout.Generation
}

func (s *switches) note(log *rollout.Log, now time.Time) {
	if r, _ := log.Session(); s.last.Before(r.Since) {
		s.last = r.Since
		s.all = append(s.all, applied{s.last, now})
	}
}

// expire calls f for each switch that is older than the limit, and returns when
// the next one will be; nil: none.
func (s *switches) expire(limit time.Duration, now time.Time, f func(rollout.Generation)) <-chan time.Time {
	for ; limit > 0 && len(s.all) > 0; s.all = s.all[1:] {
		if left := s.all[0].at.Add(limit).Sub(now); left > 0 {
			return time.After(left)
		}
		f(s.all[0].generation)
	}
	return nil
}

// watchAges notes when rules come into use, and ends the traces that have
// outlived rollout.max_trace_age after a switch, or rollout.outside_hold where a
// stranger has brought them.
func (m *Membership) watchAges(ctx context.Context) error {
	var all, outside switches
	var empty <-chan time.Time
	for {
		changed, log, now := m.rules.Changed(), m.rules.Log(), time.Now()
		if empty == nil && log.Last() != (rollout.Generation{}) {
			empty = time.After(emptyAge)
		}
		m.ages.note(log.Last(), now)
		all.note(log, now)
		outside.note(log, now)
		expiry := all.expire(m.cfg.MaxTraceAge, now, func(g rollout.Generation) {
			m.rules.Expire(g)
			m.log.Info("work from before a switch is too old and is refused from now on", "before", g.String(), "limit",
				m.cfg.MaxTraceAge)
		})
		strangers := outside.expire(m.cfg.OutsideHold, now, m.rules.ExpireOutside)
		select {
		case <-changed:
		case <-expiry:
		case <-strangers:
		case <-empty:
			m.rules.ExpireEmpty()
		case <-ctx.Done():
			return nil
		}
	}
}
