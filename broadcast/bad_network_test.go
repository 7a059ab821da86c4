package broadcast

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestBadNetworks: the bounds with lost and reordered packets. most holds in nine of ten draws,
// last in all of them.
func TestBadNetworks(t *testing.T) {
	type bound struct{ most, last time.Duration }
	for _, c := range []struct {
		loss                       float64
		jitter                     time.Duration
		cold, fresh, goodbye, away bound
	}{
		{0.1, 50 * time.Millisecond, bound{time.Second, 3 * time.Second}, bound{time.Second, 20 * time.Second},
			bound{300 * time.Millisecond, time.Second}, bound{900 * time.Millisecond, 4 * time.Minute}},
		{0.2, 200 * time.Millisecond,
			bound{1500 * time.Millisecond, 3 * time.Second}, bound{2 * time.Second, 20 * time.Second},
			bound{300 * time.Millisecond, time.Second}, bound{time.Second, 4 * time.Minute}},
		{0.3, 200 * time.Millisecond,
			bound{2 * time.Second, 3 * time.Second}, bound{2500 * time.Millisecond, 20 * time.Second},
			bound{300 * time.Millisecond, time.Second}, bound{1200 * time.Millisecond, 4 * time.Minute}},
	} {
		t.Run(fmt.Sprintf("loss %v, jitter %v", c.loss, c.jitter), func(t *testing.T) {
			var fresh, left, away []time.Duration
			cold := draws(t, 1, 30, func(seed uint64) time.Duration {
				s := newSim(t, 8, seed)
				s.untaped, s.loss, s.jitter = true, c.loss, c.jitter
				for _, n := range s.nodes {
					s.start(n, svc, "svc")
				}
				first := s.within(time.Minute, "cold start", s.know("svc", 8))
				s.run(time.Minute)
				s.start(s.add(), svc, "svc")
				fresh = append(fresh, s.within(time.Minute, "newcomer", s.know("svc", 9)))
				s.run(time.Minute)
				s.nodes[1].leave(s.now)
				s.flush(s.nodes[1])
				left = append(left, s.within(time.Minute, "goodbye", s.others(1, s.know("svc", 8))))
				s.nodes[1].alive, s.nodes[2].alive = false, false
				s.nodes[3].suspect(s.now, s.nodes[2].offers(s.now, "svc")[0].ID())
				s.flush(s.nodes[3])
				away = append(away, s.within(5*time.Minute, "a host that was cut off", s.know("svc", 7)))
				return first
			})
			bounded(t, "cold start", cold, c.cold.most, c.cold.last)
			bounded(t, "newcomer", sorted(fresh), c.fresh.most, c.fresh.last)
			bounded(t, "goodbye", sorted(left), c.goodbye.most, c.goodbye.last)
			bounded(t, "cut off, one has noticed", sorted(away), c.away.most, c.away.last)
		})
	}
}

// TestOneWay: a host hears the others and is not heard, or is heard and hears none. The first
// leaves the lists of the others, alone. After the repair of the path all are listed.
func TestOneWay(t *testing.T) {
	for _, mute := range []bool{true, false} {
		t.Run(fmt.Sprintf("mute %v", mute), func(t *testing.T) {
			s := newSim(t, 4, seeded(t, 3))
			odd := s.nodes[0]
			for _, n := range s.nodes {
				s.start(n, svc, "svc")
			}
			s.run(time.Minute)
			s.blocked = func(from, to *simNode, _ bool) bool { return mute && from == odd || !mute && to == odd }
			listed := func(when string) {
				t.Helper()
				for i, n := range s.nodes {
					want := 4
					if mute == (i > 0) {
						want = map[bool]int{true: 3, false: 1}[mute]
					}
					if got := len(n.list("svc")); got != want {
						t.Errorf("%s: host %d lists %d, want %d", when, i, got, want)
					}
				}
			}
			s.run(5 * time.Minute)
			listed("after 5 minutes")
			s.drops, s.sent = 0, 0
			before := odd.out
			s.run(time.Hour)
			listed("after an hour")
			if s.drops > 0 {
				t.Errorf("%d instances left a list for a while", s.drops)
			}
			if said := odd.out - before; said > 2000 {
				t.Errorf("the host sent %d packets in an hour", said)
			}
			s.blocked = nil
			t.Logf("%d packets in an hour; all are listed %v after the path was mended", odd.out-before,
				s.within(defaultAnnounce, "all are listed", s.know("svc", 4)))
		})
	}
}

func sorted(all []time.Duration) []time.Duration {
	slices.Sort(all)
	return all
}
