package broadcast

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func TestSimulatedBounds(t *testing.T) {
	for _, c := range []struct {
		hosts int
		loss  float64
		known time.Duration
	}{{8, 0, time.Second}, {8, 0.1, 3 * time.Second}, {32, 0, time.Second}, {32, 0.1, 3 * time.Second}} {
		t.Run(fmt.Sprintf("%d hosts, loss %v", c.hosts, c.loss), func(t *testing.T) {
			var cold, fresh, left, killed []time.Duration
			for seed := range uint64(64 / c.hosts) {
				s := newSim(t, c.hosts, seed)
				s.loss = c.loss
				for _, n := range s.nodes {
					s.start(n, svc, "svc")
				}
				cold = append(cold, s.within(6*time.Second, "cold start", s.know("svc", c.hosts)))
				s.run(10 * time.Second)
				s.start(s.add(), svc, "svc")
				fresh = append(fresh, s.within(c.known, "newcomer", s.know("svc", c.hosts+1)))
				s.run(10 * time.Second)
				s.nodes[1].leave(s.now)
				s.flush(s.nodes[1])
				left = append(left, s.within(300*time.Millisecond, "goodbye", s.others(1, s.know("svc", c.hosts))))
				s.nodes[1].alive = false
				s.nodes[2].alive = false
				for _, n := range s.nodes {
					n.suspect(s.now, s.nodes[2].offers(s.now, "svc")[0].ID())
					s.flush(n)
				}
				killed = append(killed, s.within(time.Second, "kill with suspicion", s.know("svc", c.hosts-1)))
			}
			t.Logf("longest: cold start %v, newcomer %v, goodbye %v, kill %v",
				slices.Max(cold), slices.Max(fresh), slices.Max(left), slices.Max(killed))
		})
	}
}

// others evaluates ok without the node that is leaving.
func (s *sim) others(i int, ok func() bool) func() bool {
	return func() bool {
		s.nodes[i].alive = false
		defer func() { s.nodes[i].alive = true }()
		return ok()
	}
}

// TestSteadyState: two hours with loss drop no living process. Without loss they cost only
// announcements.
func TestSteadyState(t *testing.T) {
	for _, loss := range []float64{0, 0.1, 0.3} {
		s := newSim(t, 16, seeded(t, 7))
		s.loss, s.untaped = loss, true
		if loss > 0.1 {
			s.jitter = 200 * time.Millisecond
		}
		for _, n := range s.nodes {
			s.start(n, svc, "svc")
		}
		s.run(time.Minute) // all questions of the start are asked
		before := uint64(0)
		for _, n := range s.nodes {
			before += n.seq
		}
		s.run(2 * time.Hour)
		said := -before
		for _, n := range s.nodes {
			said += n.seq
		}
		perHour := float64(said) / 16 / 2
		t.Logf("loss %v: %.1f datagrams an hour and host", loss, perHour)
		if s.drops != 0 || !s.know("svc", 16)() {
			t.Errorf("loss %v: %d living instances were dropped", loss, s.drops)
		}
		if loss == 0 && perHour > 23 { // 3 min, jitter 10 % at most
			t.Errorf("%.1f datagrams an hour and host; announcements alone are 20 to 22.3", perHour)
		}
	}
}

// TestUnnoticedDeath: without a suspicion, dead processes are probed at 80 % of the life of an
// entry, which is one period, and then dropped.
func TestUnnoticedDeath(t *testing.T) {
	s := newSim(t, 8, seeded(t, 3))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(time.Minute)
	s.nodes[0].alive = false
	took := s.within(defaultAnnounce*5/4, "death unnoticed", s.know("svc", 7))
	t.Logf("dropped after %v", took)
	if kind := s.nodes[1].gone[s.nodes[0].offers(s.now, "svc")[0].ID()]; kind != registry.Silent {
		t.Errorf("departure %v, want silent", kind)
	}
}

// TestReplay: recorded packets bring no dead process back, and remove no living one.
func TestReplay(t *testing.T) {
	s := newSim(t, 3, seeded(t, 5))
	for _, n := range s.nodes[:2] {
		s.start(n, svc, "svc")
	}
	s.run(4 * time.Minute)
	dead, witness, late := s.nodes[0], s.nodes[1], s.nodes[2]
	tape := slices.Clone(s.tape)
	dead.alive = false
	s.within(5*time.Minute, "death", s.know("svc", 1))
	s.start(late, svc)
	s.within(time.Second, "late starter", s.know("svc", 1))
	for round := range 3 {
		for _, data := range tape {
			for _, n := range []*simNode{witness, late} {
				s.deliver(flight{to: n, data: data, from: netip.MustParseAddrPort("10.0.9.9:1"), group: round%2 == 0})
			}
			if !s.know("svc", 1)() {
				t.Fatal("a recording changed the list")
			}
		}
		s.run(time.Minute)
	}
	if witness.stats.Replay == 0 || late.stats.Unproven == 0 {
		t.Errorf("replays counted %d, unproven %d", witness.stats.Replay, late.stats.Unproven)
	}
	if !s.know("svc", 1)() {
		t.Error("a recording changed the list")
	}
}

// TestLongListing: a list that does not fit in a datagram is fetched or requested in parts, and is
// complete in the end. A wrong fetch is not believed.
func TestLongListing(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("service-with-a-long-name-%02d", i))
	}
	for _, how := range []string{"parts", "fetch", "wrong fetch"} {
		s := newSim(t, 2, seeded(t, 9))
		provider, consumer := s.nodes[0], s.nodes[1]
		provider.fetchAddr = func() string { return ":7000" }
		consumer.canFetch = how != "parts"
		s.start(provider, nil, names...)
		s.start(consumer, []string{registry.AllServices})
		fetched := 0
		all := func() bool {
			for _, f := range consumer.fetches {
				fetched++
				list := provider.offeredList()
				if how == "wrong fetch" {
					list[0].Port++
				}
				if f.addr != "10.0.0.0:7000" {
					t.Fatalf("fetch from %s", f.addr)
				}
				consumer.fetched(s.now, f, list, nil)
				s.flush(consumer)
			}
			consumer.fetches = nil
			return len(consumer.known()) == len(names)
		}
		s.within(2*time.Second, how, all)
		if got := consumer.list(names[0]); len(got) != 1 || got[0].Port != 7000 {
			t.Errorf("%s: list %v", how, got)
		}
		if (fetched > 0) != consumer.canFetch || (consumer.stats.FetchFailed > 0) != (how == "wrong fetch") {
			t.Errorf("%s: %d fetches, %d failed", how, fetched, consumer.stats.FetchFailed)
		}
	}
}

// TestSubscription: announcements of services that are not watched here are ignored. Watching one
// later finds it.
func TestSubscription(t *testing.T) {
	s := newSim(t, 3, seeded(t, 11))
	s.start(s.nodes[0], nil, "auth")
	s.start(s.nodes[1], nil, "proc")
	c := s.nodes[2]
	s.start(c, []string{"auth"})
	s.within(time.Second, "auth", func() bool { return len(c.list("auth")) == 1 })
	s.run(10 * time.Minute)
	if len(c.peers) != 1 || c.stats.Unwanted == 0 || len(c.list("proc")) != 0 {
		t.Errorf("%d peers, %d unwanted", len(c.peers), c.stats.Unwanted)
	}
	c.want(s.now, []string{"auth", "proc"}, false)
	s.flush(c)
	s.within(time.Second, "proc", func() bool { return len(c.list("proc")) == 1 })
	c.want(s.now, []string{"proc"}, false)
	if len(c.list("auth")) != 0 {
		t.Error("a service that is not watched any more is kept")
	}
}

// TestWithdrawAndReturn: of goodbyes and announcements that overtake each other, the newest counts.
func TestWithdrawAndReturn(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, 4, seed)
		s.loss = 0.1
		for _, n := range s.nodes {
			s.start(n, svc, "svc")
		}
		s.within(6*time.Second, "start", s.know("svc", 4))
		n := s.nodes[0]
		in := n.offers(s.now, "svc")
		n.drop(s.now, []registry.ID{in[0].ID()})
		s.flush(n)
		s.within(time.Second, "withdrawal", s.know("svc", 3))
		n.put(s.now, in)
		s.flush(n)
		s.within(4*time.Second, "return", s.know("svc", 4))
		s.run(time.Second)
		if !s.know("svc", 4)() {
			t.Fatalf("seed %d: a late goodbye took the returned instance away", seed)
		}
	}
}

// TestRestartAtTheSameAddress: the new process causes a probe of the killed one, which is gone
// within a second.
func TestRestartAtTheSameAddress(t *testing.T) {
	s := newSim(t, 4, seeded(t, 13))
	for _, n := range s.nodes[:3] {
		s.start(n, svc, "svc")
	}
	s.within(time.Second, "start", s.know("svc", 3))
	s.nodes[0].alive = false
	fresh := s.nodes[3]
	old := s.nodes[0].offers(s.now, "svc")[0]
	fresh.alive = true
	fresh.linksChanged(s.now, 1, true)
	fresh.put(s.now, []registry.Instance{old}) // put fills in its own owner
	s.flush(fresh)
	s.within(time.Second, "replacement", func() bool {
		list := s.nodes[1].list("svc")
		return len(list) == 3 &&
			!slices.ContainsFunc(list, func(in registry.Instance) bool { return in.Owner == old.Owner })
	})
}

// TestSimulatedPartition: both sides drop each other within a period, and find each other soon
// after the repair.
func TestSimulatedPartition(t *testing.T) {
	s := newSim(t, 6, seeded(t, 17))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(time.Minute)
	side := func(n *simNode) bool { return n.self.Epoch < 1003 }
	s.blocked = func(a, b *simNode, _ bool) bool { return side(a) != side(b) }
	s.within(4*time.Minute, "falling apart", s.know("svc", 3))
	s.run(2 * time.Minute)
	s.blocked = nil
	t.Logf("whole again after %v", s.within(35*time.Second, "healing", s.know("svc", 6)))
}

// TestNoInterface: a process without an interface probes no peer and drops none.
func TestNoInterface(t *testing.T) {
	s := newSim(t, 2, seeded(t, 19))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(time.Minute)
	a := s.nodes[0]
	a.linksChanged(s.now, 0, false)
	s.blocked = func(*simNode, *simNode, bool) bool { return true }
	s.run(20 * time.Minute)
	if len(a.list("svc")) != 2 {
		t.Errorf("list %v; want what was last known", a.list("svc"))
	}
	s.blocked = nil
	a.linksChanged(s.now, 1, true)
	s.flush(a)
	s.within(3*time.Second, "return", s.know("svc", 2))
}

// TestForgedFlood: a member that sends under made-up names can't exhaust the memory.
func TestForgedFlood(t *testing.T) {
	s := newSim(t, 1, seeded(t, 23))
	n := s.nodes[0]
	s.start(n, svc, "svc")
	forger := newCore("sim", ring("k"), registry.Owner{}, defaultAnnounce, s.rand)
	for i := range 20_000 {
		forger.self = registry.Owner{Host: "ghost", PID: i, Epoch: 1}
		forger.put(s.now, []registry.Instance{{Service: "svc", Host: "10.9.9.9", Port: 1 + i}})
		for _, o := range forger.outbox {
			s.deliver(flight{to: n, data: o.data, from: netip.MustParseAddrPort("10.9.9.9:9"), group: true})
		}
		forger.outbox, forger.offered, forger.timers = nil, map[registry.ID]registry.Instance{}, nil
		if i%10 == 0 {
			s.run(time.Millisecond)
		}
	}
	if len(n.peers) > maxUnproven+1 || len(n.list("svc")) != 1 || n.stats.Full == 0 {
		t.Errorf("%d peers, %d listed, %d over the limit", len(n.peers), len(n.list("svc")), n.stats.Full)
	}
	s.run(time.Minute)
	if len(n.peers) != 0 || len(n.timers) > 10 {
		t.Errorf("after a minute %d peers and %d timers are left", len(n.peers), len(n.timers))
	}
	if probes := cmp.Compare(n.seq, 5000); probes > 0 {
		t.Errorf("%d datagrams were provoked in two seconds", n.seq)
	}
}
