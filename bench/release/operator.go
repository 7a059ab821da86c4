package release

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// operator carries the release through its steps.
type operator struct {
	log     *rollout.Log
	entries []rollout.Entry
	session rollout.Release
	drains  []*rollout.Drain
	round   uint64
	asking  bool // a round is open
	events  []rollouttest.Event
}

// shipped is when the new versions are there for verifiers, patience how long
// a waiting release looks for a moment in which no request needs its services.
const (
	shipped  = released - 1_000*sim.Unit
	patience = 300 * sim.Unit
)

func newTokens(s *site, kind rollout.Strategy) *tokens {
	t := &tokens{plain: plain{s}, kind: kind, agents: map[*process]*participant.Agent{}, gates: map[string]*gate{}}
	t.log, t.session = &rollout.Log{}, rollout.Release{Name: "r1", Mark: "preview", State: rollout.Prepared}
	s.At(0, t.initial)
	s.At(shipped, t.ship)
	return t
}

// append writes an entry and tells every process, the slow ones later.
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

// release switches, a waiting one when no request needs the services, or when
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
	if s.kind == rollout.Concurrent {
		s.session = must(s.session.Clean())
	}
	for _, m := range s.session.Modules {
		s.drains = append(s.drains, &rollout.Drain{Service: m.Service, Old: m.Old, Since: s.session.Since})
	}
	s.look()
}

// needed reports whether work is under way that could call a released service.
func (s *tokens) needed() bool {
	s.round++
	var g rollout.Graph
	var reports []rollout.Report
	for _, p := range s.procs {
		r := s.agent(p).Report(rollout.Question{Round: s.round, Until: s.log.Next("", nil).Generation})
		g.Add(r)
		reports = append(reports, r)
	}
	return slices.ContainsFunc(reports, func(r rollout.Report) bool {
		return slices.ContainsFunc(r.Inflight, func(h rollout.Inflight) bool {
			return slices.ContainsFunc(s.world.modules, func(m string) bool { return g.Path(r, h, m) != nil })
		})
	})
}

// look asks every process what it has applied, before the first round.
func (s *tokens) look() {
	for _, p := range s.procs {
		s.After(message, func() {
			r := s.agent(p).Report(rollout.Question{})
			s.After(message, func() {
				for _, d := range s.drains {
					d.Preload(r)
				}
			})
		})
	}
	s.After(2*message+1, s.ask)
}

// atMost is how long a process may wait for its own work to end before it
// answers a round: 40 messages, far less than package release grants.
const atMost = 40 * message

// ask opens a round. A process that may hold it back answers when it no longer does.
func (s *tokens) ask() {
	s.round++
	s.asking = true
	round, members, patient := s.round, []string{}, map[string]bool{}
	for _, d := range s.drains {
		maps.Copy(patient, d.Candidates())
	}
	for _, p := range s.procs {
		members = append(members, p.name)
		latest := s.Now() + message
		if patient[p.name] {
			latest += atMost
		}
		s.After(message, func() { s.answer(p, round, latest) })
	}
	for _, d := range s.drains {
		d.Open(round, members)
	}
}

func (s *tokens) answer(p *process, round uint64, latest time.Duration) {
	if s.Now() < latest && s.busy(p) {
		s.After(sim.Unit, func() { s.answer(p, round, latest) })
		return
	}
	r := s.agent(p).Report(rollout.Question{Round: round, Until: s.session.Since})
	s.After(message, func() {
		complete := true
		for _, d := range s.drains {
			d.Add(r)
			complete = complete && d.Complete() && d.Round() == round
		}
		if complete && s.asking {
			s.close()
		}
	})
}

// busy reports whether the process has not applied the switch, or has work
// from before it.
func (s *tokens) busy(p *process) bool {
	for g := range s.agent(p).Live() {
		if g.Before(s.session.Since) {
			return true
		}
	}
	return s.agent(p).Log().Last().Before(s.session.Since)
}

func (s *tokens) close() {
	s.asking = false
	drained := true
	for _, d := range s.drains {
		drained = d.Close() && drained
	}
	if !drained {
		s.ask()
		return
	}
	rules, retirements := s.retired()
	for _, r := range retirements {
		s.events = append(s.events, rollouttest.Event{When: instant(s.Now()), Kind: rollouttest.EventDrained,
			Service: r.Service, Version: r.Version, Since: r.Floor})
	}
	s.append(rules, retirements...)
	s.stop(0)
}

// retired takes the old versions out of service; those that may not run beside
// the new ones yield their turn.
func (s *tokens) retired() (rules map[string]rollout.Rule, retirements []rollout.Retirement) {
	var err error
	if s.kind == rollout.Concurrent {
		s.session, retirements, err = s.session.Retire()
	} else {
		s.session, rules, retirements, err = s.session.RevokeTurn(s.log, nil)
	}
	check(err)
	return rules, retirements
}

// begins gives the turn to the new versions, and starts them.
func (s *tokens) begins() {
	next, rules, err := s.session.GrantTurn(s.log)
	check(err)
	s.session = next
	s.append(rules)
	for _, m := range s.session.Modules {
		s.After(started, func() { s.startNew(m.Service); s.gates[m.Service].open() })
	}
	s.session = must(s.session.Clean())
	s.session, _, err = s.session.Retire()
	check(err)
}

// stop hands the old instances the rules that retire them, and stops them.
func (s *tokens) stop(i int) {
	if i == len(s.session.Modules) {
		if s.kind != rollout.Concurrent {
			s.begins()
		}
		s.session = must(s.session.Stop())
		s.finish()
		return
	}
	m := s.session.Modules[i].Service
	s.After(message, func() {
		for _, p := range s.instances(m, old) {
			check(s.agent(p).Learn(s.entries...))
		}
		s.retire(m, func() { s.stop(i + 1) })
	})
}

// history is the run for the checker of package rollouttest.
func (s *tokens) history() rollouttest.History {
	return rollouttest.History{Spans: s.spans, Entries: s.entries, Events: s.events}
}
