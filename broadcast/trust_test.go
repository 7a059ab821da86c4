package broadcast

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// liarAddr is the address of a process with the key that sends in the names of others. It never
// answers.
var liarAddr = netip.MustParseAddrPort("10.0.66.66:9000")

// forge delivers a packet with the name of a victim to every other node.
func (s *sim) forge(victim *simNode, from netip.AddrPort, seq uint64, k kind, body thrift.TStruct) {
	s.t.Helper()
	data, err := victim.seal(packet{kind: k, sender: victim.self, seq: seq, body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, n := range s.nodes {
		s.deliver(flight{to: n, data: data, from: from, group: true})
	}
}

// leavingWeight is the weight of an instance that is the last choice.
const leavingWeight = 1

// lowest is the smallest weight of an instance on the lists of living nodes; 0 when one lacks it.
func (s *sim) lowest(id registry.ID) int {
	least := registry.DefaultWeight
	for _, n := range s.nodes {
		if !n.alive {
			continue
		}
		list := n.list(id.Service)
		i := slices.IndexFunc(list, func(in registry.Instance) bool { return in.ID() == id })
		if i < 0 {
			return 0
		}
		if list[i].Leaving {
			least = min(least, leavingWeight)
		}
		least = min(least, list[i].EffectiveWeight())
	}
	return least
}

func newSite(t *testing.T, n int, seed uint64) (*sim, *simNode, registry.ID) {
	s := newSim(t, n, seed)
	for _, node := range s.nodes {
		s.start(node, svc, "svc")
	}
	s.within(6*time.Second, "start", s.know("svc", n))
	s.run(10 * time.Second)
	victim := s.nodes[1]
	return s, victim, victim.offers(s.now, "svc")[0].ID()
}

// lies are packets of a process with the key, in the name of another one, that say that the other
// one leaves or offers nothing.
func lies(victim *simNode) map[string]func() (kind, thrift.TStruct) {
	in := victim.offered[slices.Collect(mapsKeys(victim.offered))[0]]
	gone := &wire.Left{Name: in.Service, Version: &in.Version, Host: in.Host, Port: int32(in.Port)}
	nothing := &wire.Listing{Complete: new(true), Hash: listing.Hash(nil)}
	stopping := in
	stopping.Leaving = true
	stops := &wire.Listing{Complete: new(true), Hash: listing.Hash([]registry.Instance{stopping}),
		Registrations: []*wire.Registration{listing.Encode(stopping, in.Started)}}
	return map[string]func() (kind, thrift.TStruct){
		"leaves": func() (kind, thrift.TStruct) { return goodbye, &wire.Goodbye{Everything: new(true)} },
		"leaves, by token": func() (kind, thrift.TStruct) {
			return goodbye, &wire.Goodbye{Everything: new(true), Token: []byte("guessed token 16")}
		},
		"withdraws": func() (kind, thrift.TStruct) { return goodbye, &wire.Goodbye{Left: []*wire.Left{gone}} },
		"answers a goodbye": func() (kind, thrift.TStruct) {
			return goodbye, &wire.Goodbye{Everything: new(true), Nonce: new(int64(77))}
		},
		"offers nothing":  func() (kind, thrift.TStruct) { return announce, &wire.Announce{Listing: nothing} },
		"answers nothing": func() (kind, thrift.TStruct) { return answer, &wire.Answer{Nonce: 77, Listing: nothing} },
		"is stopping":     func() (kind, thrift.TStruct) { return announce, &wire.Announce{Listing: stops} },
		"answers so":      func() (kind, thrift.TStruct) { return answer, &wire.Answer{Nonce: 77, Listing: stops} },
	}
}

func mapsKeys(m map[registry.ID]registry.Instance) func(func(registry.ID) bool) {
	return func(yield func(registry.ID) bool) {
		for id := range m {
			if !yield(id) {
				return
			}
		}
	}
}

// TestFalseGoodbye: packets of a process with the key in the name of a living one, from either
// address, remove the victim from no list at any time. It soon has its weight again.
func TestFalseGoodbye(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		s, victim, id := newSite(t, 8, 51)
		s.loss = loss
		for name, lie := range lies(victim) {
			for _, from := range []netip.AddrPort{liarAddr, victim.addr} {
				for _, ahead := range []uint64{1, 1 << 19, 1 << 30, 1 << 61} {
					k, body := lie()
					s.forge(victim, from, victim.seq+ahead, k, body)
					for range 200 {
						s.run(time.Millisecond)
						if s.lowest(id) == 0 {
							t.Fatalf(
								"%s from %v, %d ahead, loss %v: a living process is off a list",
								name,
								from,
								ahead,
								loss,
							)
						}
					}
					s.run(12 * time.Second)
					if w := s.lowest(id); w != registry.DefaultWeight {
						t.Fatalf("%s from %v, %d ahead, loss %v: the weight is still %d", name, from, ahead, loss, w)
					}
				}
			}
		}
		if s.drops > 0 {
			t.Errorf("loss %v: %d departures of living processes", loss, s.drops)
		}
	}
}

// TestFalseGoodbyeIsAnswered: the process that a false goodbye names announces at once that it
// stays, and the source of the goodbye is reported. Many of them neither remove it nor keep it the
// last choice.
func TestFalseGoodbyeIsAnswered(t *testing.T) {
	s, victim, id := newSite(t, 8, 53)
	var told []netip.AddrPort
	s.nodes[3].refuse = func(_ time.Time, reason error, from netip.AddrPort) {
		if reason == errGoodbye {
			told = append(told, from)
		}
	}
	said := victim.seq
	s.forge(victim, victim.addr, victim.seq+5, goodbye, &wire.Goodbye{Everything: new(true)})
	if w := s.lowest(id); w != leavingWeight {
		t.Errorf("after a goodbye the weight is %d, want %d: callers stop at once", w, leavingWeight)
	}
	s.run(60 * time.Millisecond)
	if s.lowest(id) != registry.DefaultWeight || victim.seq == said || victim.stats.OwnName == 0 {
		t.Errorf(
			"weight %d, %d datagrams of the victim, %d packets of its name",
			s.lowest(id),
			victim.seq-said,
			victim.stats.OwnName,
		)
	}
	if len(told) != 1 || told[0] != victim.addr || s.nodes[3].stats.FalseGoodbye != 1 {
		t.Errorf("told of %v, counted %d", told, s.nodes[3].stats.FalseGoodbye)
	}
	before, last := victim.seq, 0
	for i := range 1000 { // ten seconds
		s.forge(victim, victim.addr, victim.seq+uint64(i), goodbye, &wire.Goodbye{Everything: new(true)})
		s.run(10 * time.Millisecond)
		switch s.lowest(id) {
		case 0:
			t.Fatal("a living process is off a list")
		case leavingWeight:
			last++
		}
	}
	if last > 200 {
		t.Errorf("under a flood of goodbyes the victim was the last choice for %d of 1000 steps", last)
	}
	if said := victim.seq - before; said > 600 {
		t.Errorf("a flood of goodbyes has cost the victim %d datagrams in ten seconds", said)
	}
}

// TestStopping: an instance that is stopping is the last choice everywhere within 300 ms and stays
// listed until it is deregistered. No process counts that as a false claim, also with lost packets.
func TestStopping(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		s, n, id := newSite(t, 8, 61)
		s.loss = loss
		in := n.offered[id]
		in.Leaving = true
		n.put(s.now, []registry.Instance{in})
		stopping := func(in registry.Instance) bool { return in.ID() == id && in.Leaving }
		s.within(300*time.Millisecond, "the last choice of all", func() bool {
			return loss > 0 ||
				!slices.ContainsFunc(
					s.nodes,
					func(of *simNode) bool { return !slices.ContainsFunc(of.list("svc"), stopping) },
				)
		})
		for range 300 {
			s.run(10 * time.Millisecond)
			if w := s.lowest(id); w == 0 || loss == 0 && w != leavingWeight {
				t.Fatalf("loss %v: weight %d while it is stopping, want %d", loss, w, leavingWeight)
			}
		}
		for i, of := range s.nodes {
			if of.stats.FalseGoodbye > 0 {
				t.Errorf("loss %v: node %d took it for a lie", loss, i)
			}
		}
		n.drop(s.now, []registry.ID{id})
		if loss == 0 {
			s.within(300*time.Millisecond, "the end", s.know("svc", 7))
		}
	}
}

// TestHonestGoodbye: a process that leaves is off all lists within 300 ms, also when it exits right
// after its three goodbyes, and when it deregisters one service and stays. Without the token, its
// host's refusal or its silence confirms the goodbye.
func TestHonestGoodbye(t *testing.T) {
	for _, c := range []struct {
		name           string
		token, refuses bool
		within         time.Duration
	}{
		{"by token", true, false, 300 * time.Millisecond},
		{"by answer or refusal", false, true, 300 * time.Millisecond},
		{"by silence", false, false, 2 * time.Second},
	} {
		for _, loss := range []float64{0, 0.1} {
			s, n, id := newSite(t, 8, 57)
			s.loss = loss
			if !c.token {
				n.token = nil
			}
			exits := s.now.Add(2*goodbyeGap + time.Millisecond)
			if c.name == "by silence" {
				exits = s.now.Add(time.Millisecond / 4) // before the first probe arrives
			}
			n.leave(s.now)
			s.flush(n)
			s.run(exits.Sub(s.now))
			n.alive, n.killed = false, c.refuses
			s.run(2 * time.Millisecond)
			if loss == 0 && s.lowest(id) > leavingWeight {
				t.Errorf("%s: it has its weight after a goodbye", c.name)
			}
			s.within(c.within, c.name, s.know("svc", 7))
			if kind := s.nodes[5].gone[id]; kind != registry.Deregistered {
				t.Errorf("%s, loss %v: departure %v, want withdrawn", c.name, loss, kind)
			}
		}
	}
	s, n, id := newSite(t, 32, 59)
	n.drop(s.now, []registry.ID{id})
	s.flush(n)
	took := s.within(300*time.Millisecond, "withdrawal of one registration", s.know("svc", 31))
	t.Logf("a registration of a process that stays is off 32 lists after %v", took)
	if s.nodes[5].stats.FalseGoodbye > 0 {
		t.Error("an honest goodbye counts as a false one")
	}
}

// TestNumbersAhead: a number far ahead hides no later packet of its owner, whether it comes from
// the owner's address or another one.
func TestNumbersAhead(t *testing.T) {
	for _, ahead := range []uint64{100, 1 << 19, seqAhead + 1, 1 << 61} {
		for _, from := range []netip.AddrPort{liarAddr, {}} {
			s, victim, _ := newSite(t, 8, 61)
			if !from.IsValid() {
				from = victim.addr
			}
			l := pack(victim.registrations(s.now), victim.base(), 900, nil)
			s.forge(victim, from, victim.seq+ahead, announce, &wire.Announce{Listing: l})
			s.run(11 * time.Second)
			victim.put(s.now, []registry.Instance{{Service: "svc", Host: "10.0.0.1", Port: 7001}})
			s.flush(victim)
			s.within(time.Second, fmt.Sprintf("%d ahead, from %v: a new registration", ahead, from), s.know("svc", 9))
			if ahead > seqAhead && s.nodes[0].stats.Sequence == 0 {
				t.Error("a number far ahead is not counted")
			}
		}
	}
	data, err := newCodec(
		"sim",
		ring("k"),
	).seal(packet{kind: probe, sender: sender, seq: seqMost, body: &wire.Probe{Nonce: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newCodec("sim", ring("k")).open(data); err != errSequence {
		t.Errorf("number 2^62: %v", err)
	}
}

// TestNewAddress: packets of a peer from another address soon count, but not before that address
// has answered.
func TestNewAddress(t *testing.T) {
	s, n, _ := newSite(t, 4, 67)
	n.addr = netip.MustParseAddrPort("10.0.0.77:9001")
	n.put(s.now, []registry.Instance{{Service: "svc", Host: "10.0.0.77", Port: 7001}})
	s.flush(n)
	s.within(time.Second, "a registration from a new address", s.know("svc", 5))
	l := pack(n.registrations(s.now)[:1], wire.Listing{}, 900, nil)
	s.forge(n, liarAddr, n.seq+1, announce, &wire.Announce{Listing: l})
	s.run(time.Second)
	for _, other := range s.nodes {
		if p := other.peers[n.self]; p != nil && p.knows(path{addr: liarAddr, link: 1}) {
			t.Error("an address is believed that has not answered")
		}
	}
	if !s.know("svc", 5)() {
		t.Error("an announcement from an address that has not answered has changed a list")
	}
}

// TestTwoProtocols: hosts send from two addresses. An answer comes only from the address that was
// probed. Whichever of the two is known, a service that a process begins to watch is found at once.
func TestTwoProtocols(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, 8, seed)
		for i, n := range s.nodes {
			n.second = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 9000)
			s.start(n, []string{"all"}, "svc", "all")
			s.run(200 * time.Millisecond)
		}
		s.within(3*time.Second, "all processes are known", s.know("all", len(s.nodes)))
		n := s.nodes[seed%8]
		n.want(s.now, []string{"all", "svc"}, false)
		s.flush(n)
		s.within(
			400*time.Millisecond,
			"a service that is looked for later",
			func() bool { return len(n.list("svc")) == len(s.nodes) },
		)
	}
}
