package fse

import (
	"fmt"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/rollout"
)

// tokens is skerry's way: requests read the rules of the generation that their
// root had applied, and the target is drained by rounds of reports. Nobody
// waits. The ledgers and the drain are skerry's own.
func (s *site) tokens() result {
	d := drain{
		site: s, ledgers: make([]rollout.Ledger, len(s.graph.Names)),
		Drain: rollout.Drain{Service: s.graph.Names[s.target], Old: "old", Since: after},
	}
	for _, name := range s.graph.Names {
		d.members = append(d.members, name)
	}
	for _, r := range s.requests {
		if r.end >= asked && r.begin < asked+sim.FSE.Delay { // by then everybody has applied the switch
			r.each(d.live)
		}
	}
	d.clock.At(asked, d.open)
	d.clock.Run(watched, func() bool { return d.drained })
	return result{timeliness: d.clock.Now() - asked}
}

// The generations before and after the switch.
var before, after = rollout.Generation{N: 1}, rollout.Generation{N: 2}

// drain is one drain of the target in virtual time.
type drain struct {
	*site
	rollout.Drain
	clock   sim.Clock
	ledgers []rollout.Ledger // by component
	members []string
	drained bool
}

// live counts a transaction while it runs.
func (d *drain) live(t *timeline) {
	d.clock.At(t.begin, func() {
		span := d.ledgers[t.service].Begin(before, d.graph.Names[t.service])
		d.clock.At(t.end, span.Release)
	})
}

// open asks every component; answers are there two messages later.
func (d *drain) open() {
	d.Open(d.Round()+1, d.members)
	d.clock.After(sim.FSE.Delay, d.answer)
	d.clock.After(2*sim.FSE.Delay, func() {
		if d.drained = d.Close(); !d.drained {
			d.open()
		}
	})
}

func (d *drain) answer() {
	for i, name := range d.members {
		least, round := d.ledgers[i].Report(d.Round(), []string{d.Service}, d.reaches)
		d.Take(rollout.Report{Process: name, Round: round, Applied: after, Least: least})
	}
}

// reaches is what the graph says; origins are the names of components.
func (d *drain) reaches(origin, service string) bool {
	var i int
	if _, err := fmt.Sscanf(origin, "s%d", &i); err != nil {
		panic(err)
	}
	return d.graph.Reaches(i, d.target)
}
