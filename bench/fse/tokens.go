package fse

import (
	"time"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// tokens is skerry's way: requests read the rules of the generation that their
// root had applied, and the target is drained by rounds of reports. No component
// waits. The ledgers, the graph and the drain are skerry's own.
func (s *site) tokens() result { return s.drained(func(t *timeline) time.Duration { return t.end }) }

// told is the same with handlers that say when they have made their last call
// that could lead to the target (skerry.CallsOnly): they know what the edges
// of the literature are told.
func (s *site) told() result {
	return s.drained(func(t *timeline) time.Duration {
		last := t.begin
		for _, c := range t.calls {
			if s.graph.Reaches(c.timeline.service, s.target) {
				last = c.timeline.end + sim.FSE.Delay
			}
		}
		if t.service == s.target {
			last = t.end
		}
		return last
	})
}

// drained is when the target may go. A transaction counts until the time that
// counts gives.
func (s *site) drained(counts func(*timeline) time.Duration) result {
	d := drain{
		site: s, waits: make([]*question, len(s.graph.Names)), running: make([]int, len(s.graph.Names)),
		Drain: rollout.Drain{Service: s.graph.Names[s.target], Old: "old", Since: after},
	}
	for _, name := range s.graph.Names {
		agent, _ := participant.New(participant.Config{Process: name}) // nothing was saved
		if err := agent.Learn(rollout.NewLog("").Next("", nil)); err != nil {
			panic(err) // the first entry of an empty log
		}
		d.agents = append(d.agents, agent)
	}
	for _, r := range s.requests {
		if r.end >= asked && r.begin < asked+sim.FSE.Delay { // by then every component has applied the switch
			r.each(func(t *timeline) { d.live(t, counts(t)) })
		}
	}
	d.clock.At(asked+sim.FSE.Delay, d.look)
	d.clock.After(asked+2*sim.FSE.Delay, d.open)
	d.clock.Run(watched, func() bool { return d.drained })
	return result{timeliness: d.clock.Now() - asked}
}

// after is the generation of the switch; every transaction reads the one before.
var after = rollout.Generation{N: 2}

// patience is how long a component may wait for its own transactions before it
// answers a round: 40 messages, far less than package release grants.
const patience = 200 * sim.Unit

// drain is one drain of the target in virtual time.
type drain struct {
	*site
	rollout.Drain
	clock   sim.Clock
	agents  []*participant.Agent // by component
	running []int                // transactions, by component
	waits   []*question          // the question that a component has not answered yet
	drained bool
}

type question struct{ round uint64 }

// live counts a transaction while it runs.
func (d *drain) live(t *timeline, end time.Duration) {
	d.clock.At(t.begin, func() {
		trace := d.agents[t.service].Begin(d.graph.Names[t.service], 0, "")
		d.running[t.service]++
		d.clock.At(end, func() {
			trace.End()
			d.running[t.service]--
			d.idle(t.service)
		})
	})
}

// look asks every component where it stands, before the first round.
func (d *drain) look() {
	for i := range d.agents {
		r := d.report(i, 0)
		d.clock.After(sim.FSE.Delay, func() { d.Preload(r) })
	}
}

// open asks every component; those that can hold the target back answer when
// they have nothing any more that does.
func (d *drain) open() {
	patient := d.Candidates()
	d.Open(d.Round()+1, d.graph.Names)
	for i, name := range d.graph.Names {
		q := &question{d.Round()}
		d.clock.After(sim.FSE.Delay, func() {
			if d.waits[i] = q; !patient[name] {
				d.answer(i, q)
				return
			}
			d.idle(i)
			d.clock.After(patience, func() { d.answer(i, q) })
		})
	}
}

// idle answers when a component is.
func (d *drain) idle(i int) {
	if d.running[i] == 0 {
		d.answer(i, d.waits[i])
	}
}

func (d *drain) answer(i int, q *question) {
	if q == nil || d.waits[i] != q {
		return // answered
	}
	d.waits[i] = nil
	r := d.report(i, q.round)
	d.clock.After(sim.FSE.Delay, func() {
		d.Add(r)
		if !d.drained && d.Complete() && q.round == d.Round() {
			if d.drained = d.Close(); !d.drained {
				d.open()
			}
		}
	})
}

// report is what a component says in a round: what it calls, and what it holds.
func (d *drain) report(i int, round uint64) rollout.Report {
	r := rollout.Report{Process: d.graph.Names[i], Applied: after, Serves: []string{d.graph.Names[i]},
		Calls: []string{}}
	for _, to := range d.graph.Out[i] {
		r.Calls = append(r.Calls, d.graph.Names[to])
	}
	said := d.agents[i].Report(rollout.Question{Round: round, Until: after})
	r.Inflight, r.Round, r.After = said.Inflight, said.Round, said.After
	if i == d.target {
		r.Running = map[string]int{d.Service + "/" + d.Old: d.running[i]}
	}
	return r
}
