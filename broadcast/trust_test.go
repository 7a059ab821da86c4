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

// liarAddr is where a process with the key speaks from that uses the names of
// others. Nothing answers there.
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

// leavingWeight stands for an instance that is the last choice.
const leavingWeight = 1

// lowest is the least weight that a living node lists an instance with; 0 when
// one does not list it.
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

// lies are packets of a process that has the key, in the name of another one,
// that say that the other one leaves or offers nothing.
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

// TestFalseGoodbye: whatever a process with the key says in the name of a
// living one, from its own address or from that of the victim, the victim is on
// every list all the time, and has its weight again soon.
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
							t.Fatalf("%s from %v, %d ahead, loss %v: a living process is off a list", name, from, ahead, loss)
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

// TestFalseGoodbyeIsAnswered: the process that a false goodbye names says at
// once that it stays, the address of the goodbye is told, and many of them
// neither take it off nor keep it the last choice.
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
		t.Errorf("weight %d, %d datagrams of the victim, %d packets of its name", s.lowest(id), victim.seq-said, victim.stats.OwnName)
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

// TestStopping: an instance that is stopping is the last choice of all within
// 300 ms, stays listed until it is withdrawn, and no process takes that for a lie,
// also where packets are lost.
func TestStopping(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		s, n, id := newSite(t, 8, 61)
		s.loss = loss
		in := n.offered[id]
		in.Leaving = true
		n.put(s.now, []registry.Instance{in})
		stopping := func(in registry.Instance) bool { return in.ID() == id && in.Leaving }
		s.within(300*time.Millisecond, "the last choice of all", func() bool {
			return loss > 0 || !slices.ContainsFunc(s.nodes, func(of *simNode) bool { return !slices.ContainsFunc(of.list("svc"), stopping) })
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

// TestHonestGoodbye: a process that leaves is off all lists within 300 ms, also
// when it exits at once after its three goodbyes, and when it withdraws one
// registration and stays. Without the token its host's refusal tells, and
// without that the silence.
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
				exits = s.now.Add(time.Millisecond / 4) // before the first question comes
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

// TestNumbersAhead: a number far ahead hides nothing of what its owner says
// later, whether the packet names the owner's address or another one.
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
	data, err := newCodec("sim", ring("k")).seal(packet{kind: probe, sender: sender, seq: seqMost, body: &wire.Probe{Nonce: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newCodec("sim", ring("k")).open(data); err != errSequence {
		t.Errorf("number 2^62: %v", err)
	}
}

// TestNewAddress: a peer that speaks from another address is heard there soon,
// and that address is not believed before it has answered.
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

// TestTwoProtocols: hosts speak from two addresses. An answer comes from the
// one that the question went to, and only from there. Whichever of the two is
// known already, a service that a process begins to look for is there at once.
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
		s.within(400*time.Millisecond, "a service that is looked for later", func() bool { return len(n.list("svc")) == len(s.nodes) })
	}
}

// TestStrangersByAddress: a thousand announcements a second of senders that do
// not exist, from one address, delay no provider of another address.
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
		if len(n.peers) > maxUnproven+9 || len(n.unproven.by) > maxUnproven || n.unproven.n > maxUnproven || len(n.timers) > 20_000 || len(n.unproven.order) > 2*maxUnproven {
			t.Errorf("%d peers, %d addresses, %d timers", len(n.peers), len(n.unproven.by), len(n.timers))
		}
	}
	s.run(time.Minute)
	for _, n := range s.nodes {
		if len(n.peers) != 8 || n.unproven.n != 0 || len(n.hosts) != 8 {
			t.Errorf("after a minute %d peers, %d places, %d addresses are left", len(n.peers), n.unproven.n, len(n.hosts))
		}
	}
	if !s.know("svc", 9)() || s.drops > 0 {
		t.Error("the flood has changed the lists")
	}
}

// TestAmplification: whatever comes from an address that has not answered, what
// is sent there because of it has at most three times its bytes. A full list
// goes to an address that has answered.
func TestAmplification(t *testing.T) {
	for _, services := range []int{1, 3, 60} {
		var names []string
		for i := range services {
			names = append(names, fmt.Sprintf("service-with-a-long-name-%02d", i))
		}
		questions := map[string]func() (kind, thrift.TStruct){
			"query":         func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5} },
			"query, named":  func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Services: names[:1]} },
			"query, padded": func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Pad: make([]byte, 300)} },
			"parts":         func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Parts: new(true)} },
			"parts, padded": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Parts: new(true), Pad: make([]byte, 600)}
			},
			"exchange": func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Exchange: new(true)} },
			"all of them": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Exchange: new(true), Parts: new(true)}
			},
			"long exchange": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Exchange: new(true), Pad: make([]byte, 600)}
			},
			"probe":         func() (kind, thrift.TStruct) { return probe, &wire.Probe{Nonce: 5} },
			"probe, named":  func() (kind, thrift.TStruct) { return probe, &wire.Probe{Nonce: 5, Services: names[:1]} },
			"probe, padded": func() (kind, thrift.TStruct) { return probe, &wire.Probe{Nonce: 5, Pad: make([]byte, 500)} },
			"a late answer": func() (kind, thrift.TStruct) {
				return answer, &wire.Answer{Nonce: 5, Listing: someListing(names[0]), Peers: []string{"10.0.9.9:1", "10.0.9.8:2"}}
			},
			"announcement": func() (kind, thrift.TStruct) { return announce, &wire.Announce{Listing: someListing(names[0])} },
			"long, to fetch": func() (kind, thrift.TStruct) {
				return announce, &wire.Announce{Listing: &wire.Listing{Hash: listing.Hash(nil), Names: names[:1], Fetch: new("10.0.9.9:1")}}
			},
			"goodbye": func() (kind, thrift.TStruct) { return goodbye, &wire.Goodbye{Everything: new(true)} },
			"alarm": func() (kind, thrift.TStruct) {
				return alarm, &wire.Alarm{Owner: &wire.Owner{Host: "h0", Pid: 1, Epoch: 1000}}
			},
		}
		for name, question := range questions {
			for _, group := range []bool{true, false} {
				s := newSim(t, 4, seeded(t, 73))
				for _, n := range s.nodes {
					s.start(n, []string{registry.AllServices}, names...)
				}
				s.run(10 * time.Second)
				for _, n := range s.nodes {
					n.returns = newBucket(0, 0) // the few that are asked longer have their own limit
				}
				at := s.nodes[0]
				k, body := question()
				stranger := registry.Owner{Host: "stranger", PID: 1, Epoch: 1}
				data, err := at.seal(packet{kind: k, sender: stranger, seq: 9, body: body})
				if err != nil {
					t.Fatal(err)
				}
				s.deliver(flight{to: at, data: data, from: liarAddr, group: group})
				sent := s.sentTo(at, liarAddr, 3*time.Second)
				if sent > amplify*len(data) {
					t.Errorf("%s, %d services, to everyone %t: %d bytes have brought %d", name, services, group, len(data), sent)
				}
			}
		}
	}
}

func someListing(service string) *wire.Listing {
	return &wire.Listing{Complete: new(true), Registrations: []*wire.Registration{{Name: service, Host: "10.9.9.9", Port: 1}}}
}

// sentTo runs the network and adds up what a node sends to an address, and to
// addresses that the same packet named.
func (s *sim) sentTo(n *simNode, to netip.AddrPort, d time.Duration) (sum int) {
	count := func() {
		for _, o := range n.outbox {
			for _, p := range o.to {
				if p.addr == to {
					sum += len(o.data)
				}
			}
		}
	}
	for end := s.now.Add(d); s.now.Before(end); {
		if at, ok := n.next(); ok && !at.After(s.now) {
			n.wake(s.now)
		}
		count()
		s.flush(n)
		s.now = s.now.Add(time.Millisecond)
	}
	return sum
}

// TestRecordedQueries: recordings of queries, played from another address, bring
// at most three times their bytes there, and few packets to everyone.
func TestRecordedQueries(t *testing.T) {
	s := newSim(t, 12, seeded(t, 79))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(time.Minute)
	provider := s.add() // knows none of them
	s.start(provider, nil, "svc")
	s.run(time.Minute)
	var tape [][]byte
	for _, data := range s.tape {
		if p, err := provider.open(data); err == nil && (p.kind == query || p.kind == probe) && p.sender != provider.self {
			tape = append(tape, data)
		}
	}
	asked, said := 0, provider.seq
	sum := 0
	for range 10 {
		for _, data := range tape {
			asked += len(data)
			s.deliver(flight{to: provider, data: data, from: liarAddr, group: true})
			sum += s.sentTo(provider, liarAddr, 2*time.Millisecond)
		}
	}
	sum += s.sentTo(provider, liarAddr, 5*time.Second)
	if sum > amplify*asked {
		t.Errorf("%d bytes of recordings have brought %d", asked, sum)
	}
	if said := provider.seq - said; len(tape) == 0 || said > uint64(10*len(tape)) {
		t.Errorf("%d recordings have brought %d datagrams", 10*len(tape), said)
	}
}

// TestUndelivered: a sender that announces long lists and delivers none is asked
// a bounded number of times; one whose port takes no connections is understood
// by datagrams all the same.
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
		liar.send(announce, &wire.Announce{Listing: &wire.Listing{Hash: hash, Names: []string{"svc"}, Fetch: new("10.0.9.9:1")}},
			outbound{group: true})
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

// TestVisits: addresses that a peer names are asked slowly, and only such as can
// be those of a process.
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
		if a.Addr().IsLoopback() || a.Addr().IsMulticast() || a.Addr().IsUnspecified() || a.Port() == 0 || a.Addr() == all4 {
			t.Errorf("%v is asked", a)
		}
	}
}

// TestReturnQuestions: a sender that has probed is asked in turn, several times
// when questions get lost. Of a flood of such senders most are asked once.
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
