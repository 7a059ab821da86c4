package broadcast

import (
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// TestAlarm: one process that finds out that another one has died, or a host has
// vanished, makes all others find out, and the dead host is not flooded with
// questions. It need not be known to them: callers that offer nothing know
// nobody but providers. Each site loses several hosts, one after the other.
func TestAlarm(t *testing.T) {
	const (
		hosts  = 32
		deaths = 6
	)
	for _, c := range []struct {
		name    string
		refuses bool // the process was killed, its host answers for it
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

// die has hosts of a site die, one after the other, each noticed by one of the
// last hosts, and returns how long each stayed on a list.
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
		if took[i] < 5*time.Second && asked > 7*hosts { // later they ask without an alarm
			t.Errorf("seed %d, death %d: %d datagrams to the dead host, at most 7 from each other are allowed", seed, i, asked)
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

// TestAlarmIsRepeated: a host that hears nothing while the first word of an
// alarm is said hears the next one, and every other host has been told by then.
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
		// All ask now, and once more within a second; the alarm is said three times.
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

// TestAlarmInVain: an alarm about somebody who lives costs a word of his, and
// takes nobody away; nor does one about somebody whom nobody knows, nor a
// recording.
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
	liar.send(alarm, &wire.Alarm{Owner: &wire.Owner{Host: "nobody", Pid: 1, Epoch: 1}}, outbound{group: true})
	s.flush(liar)
	s.run(time.Second)
	if said := s.said() - before; said > 20 { // two alarms, the refutation, and two for each who was quicker to ask: mostly 5 to 9, and 31 if all were
		t.Errorf("an alarm about somebody who lives cost %d datagrams", said)
	}
	victim.alive = false // dead, and nobody has noticed: a recorded alarm does not tell
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

// TestAlarmFlood: somebody with the key who raises alarms as fast as he can
// makes each host ask so many in a second, and no more, and takes nobody away.
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
		// Questions to the victims, answers to those who ask, and refutations: all
		// of them far fewer than the alarms that may be acted on.
		asked := n.seq - before[i+1]
		if most := uint64(suspicionBurst + seconds*suspicionRate); asked > most {
			t.Errorf("host %d sent %d datagrams, at most %d are allowed", i+1, asked, most)
		}
	}
	if s.drops > 0 || !s.know("svc", 16)() {
		t.Errorf("%d living instances were dropped", s.drops)
	}
	dead := s.nodes[5] // and who dies meanwhile is found
	dead.alive = false
	s.nodes[9].suspect(s.now, dead.offers(s.now, "svc")[0].ID())
	s.flush(s.nodes[9])
	s.within(5*time.Second, "a death after the flood", s.know("svc", 15))
}

// TestAlarmsOfUnknown: alarms of processes that are not known make a host ask, so
// few in a second and only when they have come to everyone. Recordings and
// made-up names take nobody away, and alarms of known processes count beside them.
func TestAlarmsOfUnknown(t *testing.T) {
	s := newSim(t, 16, seeded(t, 47))
	s.untaped = true
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(30 * time.Second)
	host := s.nodes[1]
	s.blocked = func(_, to *simNode, _ bool) bool { return to != host } // nobody refutes
	cry := func(name int64, about *core, group bool) {
		about.seq++
		stranger := registry.Owner{Host: "elsewhere", PID: 1, Epoch: name}
		data, err := about.seal(packet{kind: alarm, sender: stranger, seq: about.seq, body: &wire.Alarm{Owner: ownerOf(about)}})
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

// TestManyWitnesses: of all who find out at the same time few tell.
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
