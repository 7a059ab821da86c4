package discovery

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

func instance(n int) registry.Instance {
	return registry.Instance{
		Service: "auth",
		Version: "v1",
		Host:    fmt.Sprintf("10.0.%d.%d", n/250, n%250+1),
		Port:    7000,
		Owner:   registry.Owner{Host: "h", PID: n + 1, Epoch: int64(n + 1)},
	}
}

func candidates(weights ...int) []candidate {
	cs := make([]candidate, len(weights))
	for i, w := range weights {
		cs[i] = candidate{ep: newMember(instance(i), 1, false).ep, weight: w}
	}
	return cs
}

func viewOf(b Balancer, weights ...int) *view {
	return newView(Options{Balancer: b}, &[tiers][]candidate{tierWell: candidates(weights...)}, nil)
}

func repeat(w, n int) []int { return slices.Repeat([]int{w}, n) }

// Shares follow weights, and every member gets calls.
func TestShares(t *testing.T) {
	const calls = 200_000
	for _, b := range []Balancer{balanceTwoChoices, balanceRoundRobin} {
		for _, weights := range [][]int{
			{100}, {100, 100}, {100, 100, 100}, {1, 2, 3}, {1000, 10, 10}, {999, 500, 1, 77}, {10000, 1}, repeat(7, 40),
		} {
			v := viewOf(b, weights...)
			var turn atomic.Uint64
			got := map[*rpc.Endpoint]int{}
			for range calls {
				got[v.choose(&rpc.Call{}, &turn)]++
			}
			total := 0
			for _, w := range weights {
				total += w
			}
			for i, w := range weights {
				want := float64(calls) * float64(w) / float64(total)
				n := got[v.best[i].ep]
				if n == 0 || math.Abs(float64(n)-want) > 5*math.Sqrt(want)+0.01*want {
					t.Errorf("%s %v: member %d got %d calls, want about %.0f", b, weights, i, n, want)
				}
			}
		}
	}
}

// Between two turns of a member pass at most about twice as many calls as its share implies.
func TestRoundRobinIsSmooth(t *testing.T) {
	for _, weights := range [][]int{{5, 1, 1}, {100, 100, 100}, {50, 30, 20}, {1000, 10, 10}, {3, 3, 3, 2}} {
		cs := candidates(weights...)
		c := newCycle(cs)
		length := max(len(c), len(cs))
		last := map[int]int{}
		gap := map[int]int{}
		for k := range 3 * length {
			i := c.at(uint64(k), len(cs))
			if at, seen := last[i]; seen {
				gap[i] = max(gap[i], k-at)
			}
			last[i] = k
		}
		total := 0
		for _, w := range weights {
			total += w
		}
		for i, w := range weights {
			if even := (total + w - 1) / w; gap[i] > 2*even+1 {
				t.Errorf("%v: member %d waits for %d calls, an even spread is %d (%v)", weights, i, gap[i], even, c)
			}
		}
	}
}

func TestCycleIsBounded(t *testing.T) {
	weights := repeat(1, 1000)
	for i := range weights {
		weights[i] = 1 + i*97%100_000
	}
	c := newCycle(candidates(weights...))
	if len(c) > 5*1000+cycleSlack {
		t.Errorf("cycle has %d places", len(c))
	}
	seen := map[uint32]bool{}
	for _, i := range c {
		seen[i] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 members have a place", len(seen))
	}
}

func ringOf(ms []*member) *ring { return (&ring{}).with(ms) }

func owners(r *ring, keys int) []string {
	out := make([]string, keys)
	for k := range keys {
		out[k] = r.find(fmt.Sprint("key-", k), func(*member) bool { return true }).ep.Addr
	}
	return out
}

// TestRingsShortWay: while all members are well, the quick search finds the same member as the
// careful one, for any weights and after any changes of members.
func TestRingsShortWay(t *testing.T) {
	for _, weight := range []func(i int) int{
		func(int) int { return 0 },
		func(i int) int { return 10 + i%7*300 },
	} {
		ms := membersOf(0, 500)
		for i, m := range ms {
			m.in.Weight = weight(i)
		}
		r := &ring{}
		for _, members := range [][]*member{ms[:1], ms[:400], ms[100:], ms[100:103], ms} {
			r = r.with(members)
			if r.size() != len(members) {
				t.Fatalf("size %d of %d members", r.size(), len(members))
			}
			for k := range 2000 {
				key := fmt.Sprint("key-", k)
				if a, b := r.nearest(key), r.find(key, func(*member) bool { return true }); a != b {
					t.Fatalf("%d members, %s: %s by the short way, %s by the long one", len(members), key, a.ep.Addr,
						b.ep.Addr)
				}
			}
		}
	}
}

func membersOf(from, to int) (ms []*member) {
	for i := from; i < to; i++ {
		ms = append(ms, newMember(instance(i), 1, false))
	}
	return ms
}

func TestRingMovesOnlyWhatItMust(t *testing.T) {
	const keys = 20_000
	for _, n := range []int{2, 3, 10, 100} {
		ms := membersOf(0, n)
		r := ringOf(ms)
		before := owners(r, keys)
		if same := r.with(ms); same != r {
			t.Error("an unchanged list made a new ring")
		}
		extra := newMember(instance(n), 1, false)
		grown := r.with(append(slices.Clone(ms), extra))
		after := owners(grown, keys)
		moved := 0
		for k := range keys {
			if before[k] != after[k] {
				moved++
				if after[k] != extra.ep.Addr {
					t.Fatalf("%d members and one more: key %d moved between old ones", n, k)
				}
			}
		}
		if share := float64(moved) * float64(n+1) / keys; share < 0.5 || share > 1.6 {
			t.Errorf("%d members and one more: %.2f of its share moved", n, share)
		}
		if again := owners(grown.with(ms), keys); !slices.Equal(again, before) {
			t.Errorf("%d members: after one came and went keys lie elsewhere", n)
		}
		if fresh := owners(ringOf(membersOf(0, n)), keys); !slices.Equal(fresh, before) {
			t.Errorf("%d members: another consumer sees another ring", n)
		}
	}
}

func TestRingSharesByWeight(t *testing.T) {
	ms := membersOf(0, 10)
	ms[0].in.Weight = 300
	count := map[string]int{}
	for _, addr := range owners(ringOf(ms), 100_000) {
		count[addr]++
	}
	if share := float64(count[ms[0].ep.Addr]) / 100_000; share < 0.18 || share > 0.32 {
		t.Errorf("weight 300 among nine of 100 has %.2f of the keys, want about 0.25", share)
	}
	for _, m := range ms[1:] {
		if share := float64(count[m.ep.Addr]) / 100_000; share < 0.04 || share > 0.13 {
			t.Errorf("weight 100 has %.3f of the keys, want about 0.083", share)
		}
	}
}

func TestRingSkipsWhoIsNotWell(t *testing.T) {
	ms := membersOf(0, 5)
	for _, m := range ms {
		m.tier.Store(tierWell)
	}
	ms[2].tier.Store(tierSuspect)
	var byTier [tiers][]candidate
	for _, m := range ms {
		tier := m.tier.Load()
		byTier[tier] = append(byTier[tier], candidate{ep: m.ep, weight: 100})
	}
	v := newView(Options{Balancer: balanceHash}, &byTier, ringOf(ms))
	var turn atomic.Uint64
	for k := range 1000 {
		call := &rpc.Call{HashKey: fmt.Sprint(k)}
		owner := v.ring.find(call.HashKey, func(*member) bool { return true })
		got := v.choose(call, &turn)
		if got == ms[2].ep || owner != ms[2] && got != owner.ep {
			t.Fatalf("key %d of %s went to %s", k, owner.ep.Addr, got.Addr)
		}
	}
}

// TestCopiesTakeNoTurn: calls go to all instances in turn while each of them is copied, and so do the copies.
func TestCopiesTakeNoTurn(t *testing.T) {
	var cs []candidate
	for _, m := range membersOf(0, 2) {
		cs = append(cs, candidate{ep: m.ep, weight: 1000})
	}
	v := newView(Options{Balancer: balanceRoundRobin}, &[tiers][]candidate{tierWell: cs}, nil)
	var turn atomic.Uint64
	called, copied := map[*rpc.Endpoint]int{}, map[*rpc.Endpoint]int{}
	for range 1000 {
		called[v.choose(&rpc.Call{}, &turn)]++
		copied[v.choose(&rpc.Call{Copy: true}, &turn)]++
	}
	for _, c := range cs {
		if called[c.ep] != 500 || copied[c.ep] < 400 {
			t.Errorf("%s has %d of 1000 calls and %d copies", c.ep.Addr, called[c.ep], copied[c.ep])
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 100, 10_000} {
		for _, balancer := range balancers() {
			for _, mixed := range []bool{false, true} {
				if mixed && balancer == balanceHash {
					continue
				}
				weights := repeat(1000, n)
				if mixed {
					for i := range weights {
						weights[i] = 10 + i%7*300
					}
				}
				ms := membersOf(0, n)
				cs := make([]candidate, n)
				for i, m := range ms {
					m.tier.Store(tierWell)
					cs[i] = candidate{ep: m.ep, weight: weights[i]}
				}
				v := newView(Options{Balancer: balancer}, &[tiers][]candidate{tierWell: cs}, ringOf(ms))
				s := &service{}
				s.view.Store(v)
				calls := make([]*rpc.Call, 1024)
				for i := range calls {
					calls[i] = &rpc.Call{HashKey: fmt.Sprint("user-", i)}
				}
				b.Run(fmt.Sprintf("%s/%d/mixed=%v", balancer, n, mixed), func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if _, err := s.Pick(b.Context(), calls[i&1023]); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, balancer := range balancers() {
		ms := membersOf(0, 1000)
		cs := make([]candidate, len(ms))
		for i, m := range ms {
			m.tier.Store(tierWell)
			cs[i] = candidate{ep: m.ep, weight: 1 + i}
		}
		s := &service{}
		s.view.Store(newView(Options{Balancer: balancer}, &[tiers][]candidate{tierWell: cs}, ringOf(ms)))
		call := &rpc.Call{HashKey: "user-7"}
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() { _, _ = s.Pick(ctx, call) }); n != 0 {
			t.Errorf("%s: a pick allocates %v times", balancer, n)
		}
	}
}
