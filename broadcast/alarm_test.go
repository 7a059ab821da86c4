package broadcast

import (
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/wire"
)

// TestAlarm: one who finds out that a process has died, or a host has vanished,
// makes all others find out, and the dead host is not flooded with questions.
func TestAlarm(t *testing.T) {
	const hosts = 32
	for _, c := range []struct {
		name    string
		refuses bool // the process was killed, its host answers for it
		loss    float64
		draws   int
		most    time.Duration // nine of ten draws
		last    time.Duration // all
	}{
		{"kill -9", true, 0, 3, 250 * time.Millisecond, 250 * time.Millisecond},
		{"kill -9, 10 % loss", true, 0.1, 10, 900 * time.Millisecond, 5 * time.Minute},
		{"cable", false, 0, 3, 750 * time.Millisecond, 750 * time.Millisecond},
		{"cable, 10 % loss", false, 0.1, 10, 900 * time.Millisecond, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			bounded(t, "off all lists", draws(t, 31, c.draws, func(seed uint64) time.Duration {
				s := newSim(t, hosts, seed)
				s.untaped = true
				for _, n := range s.nodes {
					s.start(n, svc, "svc")
				}
				s.run(30 * time.Second)
				s.loss = c.loss
				dead, witness := s.nodes[0], s.nodes[hosts/2]
				dead.alive, dead.killed = false, c.refuses
				asked := 0
				s.blocked = func(_, to *simNode, group bool) bool {
					if to == dead && !group {
						asked++
					}
					return false
				}
				witness.suspect(s.now, dead.offers(s.now, "svc")[0].ID())
				s.flush(witness)
				took, _ := s.until(c.last+time.Second, s.know("svc", hosts-1))
				if took <= c.most && asked > 7*hosts { // later they ask without an alarm
					t.Errorf("seed %d: %d datagrams to the dead host, at most 7 from each other are allowed", seed, asked)
				}
				if s.drops > 0 {
					t.Errorf("seed %d: %d living instances were dropped", seed, s.drops)
				}
				return took
			}), c.most, c.last)
		})
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
		if most := uint64(alarmBurst + seconds*alarmRate); asked > most {
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
