package release

import (
	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/rollouttest"
)

// operator carries the release through its steps.
type operator struct {
	log     *rollout.Log
	entries []rollout.Entry
	session rollout.Release
	drains  []*rollout.Drain
	round   uint64
	events  []rollouttest.Event
}

// shipped is when the new versions are there for verifiers, patience how long
// a waiting release looks for a moment in which nobody needs its services.
const (
	shipped  = released - 1_000*sim.Unit
	patience = 300 * sim.Unit
)

func newTokens(s *site, kind rollout.Strategy) *tokens {
	t := &tokens{plain: plain{s}, kind: kind, agents: map[*process]*rollout.Agent{}, gates: map[string]*gate{}}
	t.log, t.session = &rollout.Log{}, rollout.Release{Name: "r1", Mark: "preview", State: rollout.Prepared}
	s.At(0, t.initial)
	s.At(shipped, t.ship)
	return t
}

// append writes an entry and tells everybody, the slow ones later.
func (s *tokens) append(rules map[string]rollout.Rule, retire ...rollout.Retirement) {
	e := s.log.Next(s.session.Name, rules, retire...)
	s.log = must(s.log.Apply(e))
	s.entries = append(s.entries, e)
	known := s.entries
	for _, p := range s.procs {
		if agent := s.agents[p]; agent != nil && !p.stopped {
			s.tell(p, func() { check(agent.Learn(known...)) })
		}
	}
}

func (s *tokens) initial() {
	for _, p := range s.procs {
		s.agent(p)
	}
	rules := map[string]rollout.Rule{}
	for _, m := range s.world.modules {
		rules[m] = rollout.Rule{Version: old}
	}
	s.append(rules)
}

// ship makes the new versions known; where two can't run at once, the new one
// is started when the old one has gone.
func (s *tokens) ship() {
	for _, m := range s.world.modules {
		next, rules, err := s.session.Ship(s.log, rollout.Module{Service: m, New: fresh, Strategy: s.kind})
		check(err)
		s.session = next
		s.append(rules)
		s.gates[m] = &gate{}
		if s.kind == rollout.Concurrent {
			s.startNew(m)
		}
	}
}

// release switches, a waiting one when nobody needs the services, or when
// patience is over.
func (s *tokens) release() {
	if s.kind == rollout.Waiting && s.Now() < released+patience && s.needed() {
		s.After(message, s.release)
		return
	}
	at := s.log.Next("", nil).Generation
	next, rules, err := s.session.Commit(s.log, rollout.Whole, at)
	check(err)
	s.session = next
	s.append(rules)
	s.session = must(s.session.Clean())
	for _, m := range s.session.Modules {
		s.drains = append(s.drains, &rollout.Drain{Service: m.Service, Old: m.Old, Since: s.session.Since})
	}
	s.ask()
}

// needed reports whether work is under way that could call a released service.
func (s *tokens) needed() bool {
	s.round++
	for _, p := range s.procs {
		if r := s.agent(p).Report(s.round, s.world.modules, s.reaches); len(r.Least) > 0 {
			return true
		}
	}
	return false
}

// ask opens a round and closes it when the answers are there.
func (s *tokens) ask() {
	s.round++
	round, members := s.round, []string{}
	for _, p := range s.procs {
		members = append(members, p.name)
		s.After(message, func() { s.answer(p, round) })
	}
	for _, d := range s.drains {
		d.Open(round, members)
	}
	s.After(2*message+1, s.close)
}

func (s *tokens) answer(p *process, round uint64) {
	r := s.agent(p).Report(round, s.world.modules, s.reaches)
	s.After(message, func() {
		for _, d := range s.drains {
			d.Take(r)
		}
	})
}

func (s *tokens) close() {
	drained := true
	for _, d := range s.drains {
		drained = d.Close() && drained
	}
	if !drained {
		s.ask()
		return
	}
	next, retirements, err := s.session.Retire()
	check(err)
	s.session = next
	for _, r := range retirements {
		s.events = append(s.events, rollouttest.Event{When: instant(s.Now()), Kind: rollouttest.EventDrained, Service: r.Service, Version: r.Version, Since: r.Floor})
	}
	s.append(nil, retirements...)
	s.stop(0)
}

// stop hands the old instances the rules that retire them, and stops them.
func (s *tokens) stop(i int) {
	if i == len(s.session.Modules) {
		s.session = must(s.session.Stop())
		s.finish()
		return
	}
	m := s.session.Modules[i].Service
	s.After(message, func() {
		for _, p := range s.instances(m, old) {
			check(s.agent(p).Learn(s.entries...))
		}
		s.retire(m, func() {
			if s.kind != rollout.Concurrent {
				s.After(started, func() { s.startNew(m); s.gates[m].open() })
			}
			s.stop(i + 1)
		})
	})
}

// history is the run for the checker of package rollouttest.
func (s *tokens) history() rollouttest.History {
	return rollouttest.History{Spans: s.spans, Entries: s.entries, Events: s.events}
}
