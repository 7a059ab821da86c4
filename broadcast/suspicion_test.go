package broadcast

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// TestAlarm: one process that detects a dead process or a vanished host makes all others detect it,
// and the dead host is not flooded with probes. The dead one may be unknown to them: callers that
// offer nothing know only providers. Each site loses several hosts, one after the other.
func TestAlarm(t *testing.T) {
	const (
		hosts  = 32
		deaths = 6
	)
	for _, c := range []struct {
		name    string
		refuses bool // the process was killed, and its host refuses the port
		loss    float64
		callers int // hosts that offer nothing, the witness among them
		sites   int
		most    time.Duration
	}{
		{"kill -9", true, 0, 0, 1, 250 * time.Millisecond},
		{"kill -9, told by a caller", true, 0, 20, 1, 250 * time.Millisecond},
		{"kill -9, 10 % loss", true, 0.1, 0, 6, 900 * time.Millisecond},
		{"cable", false, 0, 0, 1, 750 * time.Millisecond},
		{"cable, told by a caller", false, 0, 20, 1, 750 * time.Millisecond},
		{"cable, 10 % loss", false, 0.1, 0, 6, 900 * time.Millisecond},
		{"cable, 10 % loss, told by a caller", false, 0.1, 20, 6, 900 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []time.Duration
			first := seeded(t, 31)
			for seed := first; seed < first+uint64(c.sites); seed++ {
				all = append(all, die(t, seed, hosts, c.callers, deaths, c.refuses, c.loss)...)
			}
			slices.Sort(all)
			bounded(t, "off all lists", all, c.most, c.most)
		})
	}
}

// die kills hosts of a site one after the other, each detected by one of the last hosts. It returns
// how long each stayed on a list.
func die(t *testing.T, seed uint64, hosts, callers, deaths int, refuses bool, loss float64) []time.Duration {
	s := newSim(t, hosts, seed)
	s.untaped = true
	for i, n := range s.nodes {
		if i < hosts-callers {
			s.start(n, svc, "svc")
		} else {
			s.start(n, svc)
		}
	}
	s.run(30 * time.Second)
	s.loss = loss
	took := make([]time.Duration, deaths)
	for i := range took {
		dead, witness := s.nodes[i], s.nodes[hosts-1-i]
		dead.alive, dead.killed = false, refuses
		asked := 0
		s.blocked = func(_, to *simNode, group bool) bool {
			if to == dead && !group {
				asked++
			}
			return false
		}
		witness.suspect(s.now, dead.offers(s.now, "svc")[0].ID())
		s.flush(witness)
		took[i], _ = s.until(5*time.Minute, s.know("svc", hosts-callers-1-i))
		if took[i] < 5*time.Second && asked > 7*hosts { // later they probe without a suspicion
			t.Errorf(
				"seed %d, death %d: %d datagrams to the dead host, at most 7 from each other are allowed",
				seed,
				i,
				asked,
			)
		}
		if took[i] > time.Second {
			t.Logf("seed %d, death %d: %v", seed, i, took[i])
		}
		s.run(suspicionGap)
	}
	if s.drops > 0 {
		t.Errorf("seed %d: %d living instances were dropped", seed, s.drops)
	}
	return took
}

// TestAlarmIsRepeated: a host that receives nothing during the first packet of a suspicion receives
// the next one. Every other host has it by then.
func TestAlarmIsRepeated(t *testing.T) {
	for _, deaf := range []time.Duration{suspicionSecond, suspicionThird} {
		s := newSim(t, 16, seeded(t, 33))
		for _, n := range s.nodes {
			s.start(n, svc, "svc")
		}
		s.run(30 * time.Second)
		dead, victim, begun := s.nodes[0], s.nodes[3], s.now
		dead.alive, dead.killed = false, true
		said := s.said()
		s.blocked = func(_, to *simNode, group bool) bool {
			return group && to == victim && s.now.Sub(begun) < deaf
		}
		s.nodes[8].suspect(s.now, dead.offers(s.now, "svc")[0].ID())
		s.flush(s.nodes[8])
		s.within(deaf+suspicionThird, "off all lists", s.know("svc", 15))
		s.run(time.Second)
		// All probe now, and once more within a second; the suspicion is sent three times.
		if said = s.said() - said; said > 2*15+3 {
			t.Errorf("a death cost %d datagrams of 15 hosts", said)
		}
	}
}

// said is how many datagrams all nodes have sent, each counted once.
func (s *sim) said() (n uint64) {
	for _, node := range s.nodes {
		n += node.seq
	}
	return n
}

// TestAlarmInVain: a suspicion of a living process costs an announcement of it, and removes no
// process. A suspicion of an unknown process, or a recorded one, removes none either.
func TestAlarmInVain(t *testing.T) {
	s := newSim(t, 15, seeded(t, 37))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(30 * time.Second)
	liar, victim, before := s.nodes[1], s.nodes[2], s.said()
	tape := len(s.tape)
	about := *victim
	liar.send(alarm, &wire.Alarm{Owner: ownerOf(about.core)}, outbound{group: true})
	liar.send(alarm, &wire.Alarm{Owner: &wire.Owner{Host: "unknown", Pid: 1, Epoch: 1}}, outbound{group: true})
	s.flush(liar)
	s.run(time.Second)
	if said := s.said() - before; said > 20 { // two suspicions, the refutation, and two for each quicker probe
		t.Errorf("a suspicion of a living process cost %d datagrams", said)
	}
	victim.alive = false // dead and undetected: a recorded suspicion causes no packet
	before = s.said()
	for _, data := range s.tape[tape : tape+2] {
		for _, n := range s.nodes {
			s.deliver(flight{to: n, data: data, from: liar.addr, group: true})
		}
	}
	s.run(time.Second)
	if said := s.said() - before; said != 0 {
		t.Errorf("a recorded alarm cost %d datagrams", said)
	}
	if s.drops > 0 || !s.know("svc", 15)() {
		t.Errorf("%d living instances were dropped", s.drops)
	}
}

// TestAlarmFlood: a member that raises suspicions as fast as it can makes each host
// probe a bounded number of peers in a second, and takes no process away.
func TestAlarmFlood(t *testing.T) {
	s := newSim(t, 16, seeded(t, 41))
	s.untaped = true
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(30 * time.Second)
	s.loss = 0.1
	const seconds = 3
	liar := s.nodes[0]
	before := make([]uint64, len(s.nodes))
	for i, n := range s.nodes {
		before[i] = n.seq
	}
	for range 25 * seconds {
		for _, victim := range s.nodes[1:] {
			liar.send(alarm, &wire.Alarm{Owner: ownerOf(victim.core)}, outbound{group: true})
		}
		s.flush(liar)
		s.run(40 * time.Millisecond)
	}
	for i, n := range s.nodes[1:] {
		// Probes to the victims, answers to probes, and refutations are far fewer than the
		// suspicions that may count.
		asked := n.seq - before[i+1]
		if most := uint64(suspicionBurst + seconds*suspicionRate); asked > most {
			t.Errorf("host %d sent %d datagrams, at most %d are allowed", i+1, asked, most)
		}
	}
	if s.drops > 0 || !s.know("svc", 16)() {
		t.Errorf("%d living instances were dropped", s.drops)
	}
	dead := s.nodes[5] // and a process that dies meanwhile is found
	dead.alive = false
	s.nodes[9].suspect(s.now, dead.offers(s.now, "svc")[0].ID())
	s.flush(s.nodes[9])
	s.within(5*time.Second, "a death after the flood", s.know("svc", 15))
}

// TestAlarmsOfUnknown: suspicions of unknown processes cause few probes in a second, and only when
// they came by broadcast. Recordings and made-up names remove no process, and suspicions of known
// processes count beside them.
func TestAlarmsOfUnknown(t *testing.T) {
	s := newSim(t, 16, seeded(t, 47))
	s.untaped = true
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(30 * time.Second)
	host := s.nodes[1]
	s.blocked = func(_, to *simNode, _ bool) bool { return to != host } // no process refutes
	cry := func(name int64, about *core, group bool) {
		about.seq++
		stranger := registry.Owner{Host: "elsewhere", PID: 1, Epoch: name}
		data, err := about.seal(
			packet{kind: alarm, sender: stranger, seq: about.seq, body: &wire.Alarm{Owner: ownerOf(about)}},
		)
		if err != nil {
			t.Fatal(err)
		}
		s.deliver(flight{to: host, data: data, from: s.nodes[15].addr, group: group})
	}
	asked := func(during time.Duration) uint64 {
		before := host.seq
		s.run(during)
		return host.seq - before
	}
	cry(1, s.nodes[2].core, false)
	if n := asked(100 * time.Millisecond); n != 0 {
		t.Errorf("%d questions because of a stranger's alarm that came to this host alone", n)
	}
	const seconds = 10
	began := 0
	for i := range int64(20 * seconds) {
		for _, n := range s.nodes[2:14] {
			cry(i, n.core, true)
			host.peers[n.self].raised = time.Time{} // as if it had answered
			host.peers[n.self].probing = nil
		}
		began += int(asked(50 * time.Millisecond))
	}
	if most := suspicionBurst + seconds*unknownRate + 12; began > most || began < suspicionBurst {
		t.Errorf("%d questions in %d s because of strangers' alarms, at most %d are allowed", began, seconds, most)
	}
	host.onSuspicion(s.now, host.peers[s.nodes[2].self], &wire.Alarm{Owner: ownerOf(s.nodes[14].core)}, true)
	if n := asked(100 * time.Millisecond); n == 0 {
		t.Error("the alarm of a known process was not listened to")
	}
}

func ownerOf(c *core) *wire.Owner {
	return &wire.Owner{Host: c.self.Host, Pid: int32(c.self.PID), Epoch: c.self.Epoch}
}

// TestManyWitnesses: of all hosts that detect a death at the same time, few raise a suspicion.
func TestManyWitnesses(t *testing.T) {
	s := newSim(t, 32, seeded(t, 43))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(30 * time.Second)
	dead, tape := s.nodes[0], len(s.tape)
	dead.alive, dead.killed = false, true
	for _, n := range s.nodes[1:] {
		n.suspect(s.now, dead.offers(s.now, "svc")[0].ID())
		s.flush(n)
	}
	s.within(200*time.Millisecond, "off all lists", s.know("svc", 31))
	s.run(time.Second)
	told := 0
	for _, data := range slices.Clone(s.tape[tape:]) {
		if p, err := dead.open(data); err == nil && p.kind == alarm {
			told++
		}
	}
	if told < 1 || told > 4 {
		t.Errorf("%d alarms of 31 witnesses", told)
	}
}

// routed is a site of two LANs with a router between them, which broadcast does not pass. The first
// four hosts of the first LAN are providers, and all others only call. Those of the second LAN have
// the first host of all as their seed.
func routed(t *testing.T, seed uint64, first, second int) *sim {
	s := newSim(t, first+second, seed)
	s.untaped = true
	s.blocked = func(from, to *simNode, group bool) bool {
		return group && (slices.Index(s.nodes, from) < first) != (slices.Index(s.nodes, to) < first)
	}
	for i, n := range s.nodes {
		if i >= first {
			n.seeds = []netip.AddrPort{s.nodes[0].addr}
		}
		if i < 4 {
			s.start(n, svc, "svc")
		} else {
			s.start(n, svc)
		}
		n.restart(s.now)
		s.flush(n)
	}
	s.within(30*time.Second, "start", s.know("svc", 4))
	s.run(30 * time.Second)
	return s
}

// TestSuspicionCrossesRouter: a suspicion that a caller raises behind a router
// reaches the callers of the other LAN, of which it does not know, for a bounded
// number of packets. Otherwise they would list the dead instance until its entry
// expires.
func TestSuspicionCrossesRouter(t *testing.T) {
	const first, second = 16, 4
	for _, refuses := range []bool{true, false} {
		t.Run(fmt.Sprintf("refused %t", refuses), func(t *testing.T) {
			all := draws(t, 101, 20, func(seed uint64) time.Duration {
				s := routed(t, seed, first, second)
				dead, witness := s.nodes[1], s.nodes[first+second-1]
				dead.alive, dead.killed = false, refuses
				said, raised := s.said(), s.raised()
				witness.suspect(s.now, dead.offers(s.now, "svc")[0].ID())
				s.flush(witness)
				took := s.within(5*time.Minute, "off all lists", s.know("svc", 3))
				s.run(2 * time.Second)
				// Each host probes the dead one six or seven times at most.
				if said := s.said() - said; took < time.Minute && said > 8*(first+second) {
					t.Errorf("seed %d: a death cost %d datagrams of %d hosts", seed, said, first+second)
				}
				if raised := s.raised() - raised; raised > 4*3 { // three packets each
					t.Errorf("seed %d: %d suspicions were sent", seed, raised)
				}
				if s.drops > 0 {
					t.Errorf("seed %d: %d living instances were dropped", seed, s.drops)
				}
				return took
			})
			bounded(t, "off all lists", all, time.Second, time.Second)
		})
	}
}

// TestSuspicionByUnicastOnly: where no broadcast passes at all, and each host is a peer of every
// other one, few raise a received suspicion again.
func TestSuspicionByUnicastOnly(t *testing.T) {
	const hosts = 24
	s := newSim(t, hosts, seeded(t, 103))
	s.untaped = true
	s.blocked = func(_, _ *simNode, group bool) bool { return group }
	for _, n := range s.nodes {
		n.seeds = []netip.AddrPort{s.nodes[0].addr}
		s.start(n, svc, "svc")
		n.restart(s.now)
		s.flush(n)
	}
	s.within(time.Minute, "start", s.know("svc", hosts))
	s.run(30 * time.Second)
	dead, before := s.nodes[5], s.raised()
	dead.alive, dead.killed = false, true
	s.nodes[9].suspect(s.now, dead.offers(s.now, "svc")[0].ID())
	s.flush(s.nodes[9])
	s.within(time.Second, "off all lists", s.know("svc", hosts-1))
	s.run(2 * time.Second)
	if raised := s.raised() - before; raised > 6*3 { // three packets each
		t.Errorf("a suspicion was sent %d times by %d hosts", raised, hosts)
	}
}

// raised is how many suspicions all nodes have sent.
func (s *sim) raised() (n int) {
	for _, node := range s.nodes {
		n += node.suspicions
	}
	return n
}
