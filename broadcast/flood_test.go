package broadcast

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// TestStrangersByAddress: a thousand announcements a second from one address, of senders that do
// not exist, delay no provider of another address.
func TestStrangersByAddress(t *testing.T) {
	s := newSim(t, 9, seeded(t, 71))
	s.untaped = true
	for _, n := range s.nodes[:8] {
		s.start(n, svc, "svc")
	}
	s.run(10 * time.Second)
	flood := func(i int) netip.AddrPort { return liarAddr }
	ghost := func(i int) {
		forger := newCore("sim", ring("k"), registry.Owner{Host: "ghost", PID: i, Epoch: 1}, defaultAnnounce, s.rand)
		forger.put(s.now, []registry.Instance{{Service: "svc", Host: "10.9.9.9", Port: 1 + i%60000}})
		for _, n := range s.nodes {
			s.deliver(flight{to: n, data: forger.outbox[0].data, from: flood(i), group: true})
		}
	}
	for i := range 3000 {
		ghost(i)
		s.run(time.Millisecond)
	}
	s.start(s.nodes[8], svc, "svc")
	known := s.now
	for i := 3000; !s.know("svc", 9)(); i++ {
		ghost(i)
		s.run(time.Millisecond)
		if s.now.Sub(known) > time.Second {
			t.Fatal("a provider of another address is not known within a second")
		}
	}
	t.Logf("a provider of another address is known after %v", s.now.Sub(known))
	for i := range 8_000 { // and by forged addresses, one for each
		flood = func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}), 9)
		}
		ghost(10_000 + i)
		if i%10 == 0 {
			s.run(time.Millisecond)
		}
	}
	for _, n := range s.nodes {
		if len(n.peers) > maxUnproven+9 || len(n.unproven.by) > maxUnproven || n.unproven.n > maxUnproven ||
			len(n.timers) > 20_000 ||
			len(n.unproven.order) > 2*maxUnproven {
			t.Errorf("%d peers, %d addresses, %d timers", len(n.peers), len(n.unproven.by), len(n.timers))
		}
	}
	s.run(time.Minute)
	for _, n := range s.nodes {
		if len(n.peers) != 8 || n.unproven.n != 0 || len(n.hosts) != 8 {
			t.Errorf(
				"after a minute %d peers, %d places, %d addresses are left",
				len(n.peers),
				n.unproven.n,
				len(n.hosts),
			)
		}
	}
	if !s.know("svc", 9)() || s.drops > 0 {
		t.Error("the flood has changed the lists")
	}
}

// TestUndelivered: a sender that announces long lists and delivers none gets a bounded number of
// requests. One with a port that takes no connections is still read by datagrams.
func TestUndelivered(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("service-with-a-long-name-%02d", i))
	}
	s := newSim(t, 3, seeded(t, 83))
	liar, honest, consumer := s.nodes[0], s.nodes[1], s.nodes[2]
	for _, n := range []*simNode{liar, honest} {
		n.fetchAddr = func() string { return ":7000" }
	}
	consumer.canFetch = true
	s.start(honest, nil, names...)
	s.start(liar, nil, "svc")
	s.start(consumer, []string{registry.AllServices})
	fetches := map[registry.Owner]int{}
	refuse := func() {
		for _, f := range consumer.fetches {
			fetches[f.owner]++
			consumer.fetched(s.now, f, nil, fmt.Errorf("connection refused"))
		}
		consumer.fetches = nil
		s.flush(consumer)
	}
	s.within(4*time.Second, "the list of a process with an overloaded port", func() bool {
		refuse()
		return len(consumer.known()) == len(names)+1
	})
	questions := consumer.seq
	for i := range 600 { // ten minutes, another hash each second
		hash := listing.Hash([]registry.Instance{{Service: fmt.Sprint(i)}})
		liar.send(
			announce,
			&wire.Announce{Listing: &wire.Listing{Hash: hash, Names: []string{"svc"}, Fetch: new("10.0.9.9:1")}},
			outbound{group: true},
		)
		s.flush(liar)
		s.until(time.Second, func() bool { refuse(); return false })
		if i == 300 {
			honest.put(s.now, []registry.Instance{{Service: "late", Host: "10.0.0.1", Port: 7002}})
			s.flush(honest)
		}
		if i == 304 && len(consumer.list("late")) != 1 {
			t.Error("a change of the process with the overloaded port is not known after four seconds")
		}
	}
	if n := fetches[liar.self]; n > 2*fetchTries || n == 0 || consumer.stats.Undelivered == 0 {
		t.Errorf("%d fetches from a sender that delivers nothing, %d times counted", n, consumer.stats.Undelivered)
	}
	if n := fetches[honest.self]; n > 3*fetchTries {
		t.Errorf("%d fetches from a process with an overloaded port", n)
	}
	if asked := consumer.seq - questions; asked > 2500 {
		t.Errorf("%d datagrams in ten minutes", asked)
	}
	if len(consumer.list("svc")) != 1 {
		t.Errorf("a sender that delivers nothing has lost what fits in its packets: %v", consumer.list("svc"))
	}
}

// TestVisits: addresses that a peer names are queried slowly, and only those that can belong to a
// process.
func TestVisits(t *testing.T) {
	s := newSim(t, 1, seeded(t, 89))
	n := s.nodes[0]
	s.start(n, svc)
	s.run(time.Minute)
	before := n.seq
	var addrs []string
	for i := range 2000 {
		addrs = append(addrs, fmt.Sprintf("10.1.%d.%d:7", i/250, 1+i%250))
	}
	addrs = append(addrs, "0.0.0.0:1", "255.255.255.255:1", "239.1.1.1:1", "127.0.0.1:1", "10.2.2.2:0", "no address")
	n.visit(s.now, addrs, path{addr: liarAddr})
	s.flush(n)
	s.run(time.Second)
	if asked := n.seq - before; asked > 90 || asked < 20 {
		t.Errorf("%d addresses were asked in a second", asked)
	}
	for a := range n.visited {
		if a.Addr().IsLoopback() || a.Addr().IsMulticast() || a.Addr().IsUnspecified() || a.Port() == 0 ||
			a.Addr() == all4 {
			t.Errorf("%v is asked", a)
		}
	}
}

// TestReturnQuestions: a sender that has probed is probed in turn, several times when packets get
// lost. Of a flood of such senders most are probed once.
func TestReturnQuestions(t *testing.T) {
	s := newSim(t, 1, seeded(t, 97))
	n := s.nodes[0]
	s.start(n, svc)
	s.run(time.Minute)
	asked := func(senders int) uint64 {
		before := n.seq
		for i := range senders {
			stranger := registry.Owner{Host: "stranger", PID: i, Epoch: s.now.UnixMicro()}
			data, err := n.seal(packet{kind: probe, sender: stranger, seq: 1, body: &wire.Probe{Nonce: int64(i)}})
			if err != nil {
				t.Fatal(err)
			}
			s.deliver(flight{to: n, data: data, from: liarAddr})
		}
		s.run(5 * time.Second)
		return n.seq - before - uint64(senders) // without the answers
	}
	if questions := asked(1); questions != uint64(hintSeries.left) {
		t.Errorf("%d questions to a sender that has probed, want %d", questions, hintSeries.left)
	}
	if questions := asked(400); questions < 400 || questions > 400+80*uint64(hintSeries.left) {
		t.Errorf("%d questions to 400 senders that have probed", questions)
	}
}
