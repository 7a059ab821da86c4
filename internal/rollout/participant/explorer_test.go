package participant_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// operator carries one release of auth and proc through a world.
type operator struct {
	w       *world
	release rollout.Release
	drains  map[string]*rollout.Drain
	over    bool
}

// play runs one world: continuous traffic, and a release committed by a ramp.
// For odd seeds the release is rolled back before the ramp ends.
func play(seed uint64, f faults, without without) *operator {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), log: &rollout.Log{}, faults: f, without: without}
	for _, s := range []string{"portal", "portal", "cron", "auth", "auth", "proc", "proc", "audit", "db"} {
		w.start(s, "v1")
	}
	w.commit("initial", map[string]rollout.Rule{"auth": {Version: "v1"}, "proc": {Version: "v1"}})
	w.run(400)
	o := &operator{w: w, drains: map[string]*rollout.Drain{},
		release: rollout.Release{Name: fmt.Sprint("r", seed), Mark: "preview", State: rollout.Prepared}}
	w.traffic(3000)
	w.injectFaults()
	w.changePolicy(3000)
	o.ship()
	w.after(300, func() { o.commit(2000) })
	if seed%2 == 1 {
		w.after(600, o.rollback)
	} else {
		w.after(600, func() { o.commit(rollout.Whole) })
	}
	w.after(800, o.clean)
	w.run(12_000)
	w.history.Entries = w.entries
	w.history.Faults = f.crashes > 0 || f.pauses > 0
	return o
}

// traffic begins a trace every few units at a live root.
func (w *world) traffic(until int) {
	if w.now > until {
		return
	}
	for _, p := range w.procs {
		if (p.service == "portal" || p.service == "cron") && !p.dead && w.chance(0.5) {
			w.begin(p)
		}
	}
	w.after(5+w.rng.IntN(20), func() { w.traffic(until) })
}

func (w *world) injectFaults() {
	victim := func() *proc { return w.procs[w.rng.IntN(len(w.procs))] }
	for range w.faults.crashes {
		w.after(w.rng.IntN(1500), func() { victim().dead = true })
	}
	for range w.faults.pauses {
		w.after(w.rng.IntN(1500), func() { victim().pausedTill = w.now + 1000 + w.rng.IntN(1000) })
	}
}

func (o *operator) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (o *operator) ship() {
	for _, service := range []string{"auth", "proc"} {
		next, rules, err := o.release.Ship(o.w.log, rollout.Module{Service: service, New: "v2"})
		o.must(err)
		o.release = next
		o.w.commit(o.release.Name, rules)
		o.w.start(service, "v2")
		o.w.start(service, "v2")
	}
}

func (o *operator) next() rollout.Generation { return o.w.log.Next("", nil).Generation }

func (o *operator) commit(share int) {
	next, rules, err := o.release.Commit(o.w.log, share, o.next())
	o.must(err)
	o.release = next
	o.w.commit(o.release.Name, rules)
}

func (o *operator) rollback() {
	next, rules, err := o.release.Rollback(o.w.log, o.next())
	o.must(err)
	o.release = next
	o.w.commit(o.release.Name, rules)
}

func (o *operator) clean() {
	next, err := o.release.Clean()
	o.must(err)
	o.release = next
	for _, m := range next.Modules {
		o.drains[m.Service] = &rollout.Drain{Service: m.Service, Old: next.Outgoing(m), Since: next.Since}
	}
	o.ask()
}

// ask opens a round. Reports come late and in any order, some twice.
func (o *operator) ask() {
	o.w.round++
	round := o.w.round
	for _, d := range o.drains {
		d.Open(round, o.w.alive())
	}
	for _, p := range o.w.procs {
		for range 1 + o.w.rng.IntN(2) {
			p.deliver(func() { o.answer(p, round) })
		}
	}
	o.w.after(60, func() { o.close(round, 0) })
}

func (o *operator) answer(p *proc, round uint64) {
	applied := p.log
	held, round, after := p.ledger.Report(round, o.release.Since)
	r := rollout.Report{
		Process:  p.name,
		Round:    round,
		After:    after,
		Applied:  applied.Last(),
		Hash:     applied.Hash(),
		Inflight: held,
		Serves:   []string{p.service},
		Calls:    callees(p.service),
		Running:  map[string]int{p.service + "/" + p.version: p.running},
	}
	if o.w.without.edge && p.service == "cron" {
		r.Calls = []string{}
	}
	o.w.after(o.w.delay(), func() {
		for _, d := range o.drains {
			d.Add(r)
		}
	})
}

// close ends the round when all have answered. Dead processes are certified
// after a while, silent ones are waited for.
func (o *operator) close(round uint64, waited int) {
	complete, drained := true, true
	for _, d := range o.drains {
		for _, p := range o.w.procs {
			if p.dead && waited > 3 || o.w.without.silence && waited > 3 {
				d.MarkDead(p.name)
			}
		}
		complete = complete && d.Complete()
	}
	if !complete {
		o.w.after(60, func() { o.close(round, waited+1) })
		return
	}
	for _, d := range o.drains {
		drained = d.Close() && drained
	}
	if !drained {
		o.w.after(20, o.ask)
		return
	}
	o.retire()
}

func (o *operator) retire() {
	next, retirements, err := o.release.Retire()
	o.must(err)
	o.release = next
	for _, r := range retirements {
		o.w.history.Events = append(o.w.history.Events,
			rollouttest.Event{When: o.w.time(), Kind: rollouttest.EventDrained, Service: r.Service, Version: r.Version,
				Since: r.Floor})
	}
	o.w.commit(o.release.Name, nil, retirements...)
	o.w.after(20, o.stop)
}

// stop ends the outgoing versions, once their instances have the rules that
// retire them.
func (o *operator) stop() {
	for _, m := range o.release.Modules {
		for _, p := range o.w.procs {
			if p.service == m.Service && p.version == o.release.Outgoing(m) && !p.dead &&
				(p.running > 0 || p.log.Floor(p.service, p.version) == (rollout.Generation{})) && !o.w.without.guard {
				o.w.after(20, o.stop)
				return
			}
		}
	}
	for _, m := range o.release.Modules {
		for _, p := range o.w.procs {
			if p.service == m.Service && p.version == o.release.Outgoing(m) {
				p.stopped = true
			}
		}
	}
	next, err := o.release.Stop()
	o.must(err)
	o.release, o.over = next, true
}

func TestWorldsStayConsistent(t *testing.T) {
	for name, f := range map[string]faults{
		"calm":             {},
		"slow to learn":    {slow: true},
		"lost replies":     {slow: true, lostReplies: 0.03},
		"crashes":          {slow: true, crashes: 2},
		"frozen processes": {slow: true, pauses: 2},
		"all at once":      {slow: true, lostReplies: 0.03, crashes: 1, pauses: 2},

		"a policy":                     {policy: true},
		"a policy, slow to learn":      {policy: true, slow: true},
		"a policy, and all the faults": {policy: true, slow: true, lostReplies: 0.03, crashes: 1, pauses: 2},
	} {
		t.Run(name, func(t *testing.T) {
			traces, aborted, spans, harmed, copies := 0, 0, 0, 0, 0
			for seed := range uint64(3) {
				o := play(seed, f, without{})
				for _, finding := range o.w.history.Check() {
					t.Errorf("seed %d: %s", seed, finding)
				}
				if !o.over {
					t.Errorf("seed %d: the release never ended: %v", seed, o.holders())
				}
				traces, aborted, spans = traces+o.w.traces, aborted+o.w.aborted, spans+len(o.w.history.Spans)
				harmed, copies = harmed+o.w.harmed, copies+o.w.copies
			}
			if f.lostReplies == 0 && f.crashes+f.pauses == 0 {
				if aborted > 0 {
					t.Errorf("%d of %d traces failed without a fault", aborted, traces)
				}
			}
			if (harmed > 0) != f.policy || (copies > 0) != f.policy {
				t.Errorf("the policy has harmed %d traces, and made %d copies", harmed, copies)
			}
			t.Logf("%d traces, %d spans, %d traces failed, %d by the policy, %d copies", traces, spans, aborted, harmed,
				copies)
		})
	}
}

func (o *operator) holders() (out []rollout.Blocker) {
	for _, d := range o.drains {
		out = append(out, d.Blockers()...)
	}
	return out
}

func TestWorldsCatchEveryMutant(t *testing.T) {
	all := faults{slow: true, lostReplies: 0.03, crashes: 1, pauses: 2}
	for name, tc := range map[string]struct {
		f faults
		w without
	}{
		"no snapshot: every hop by its own rules":  {faults{slow: true}, without{token: true}},
		"no fetch before routing, no callee check": {faults{slow: true}, without{fetch: true, guard: true}},
		"silence is death, no callee check":        {all, without{silence: true, guard: true}},
		"forgotten edges, another version will do": {faults{slow: true},
			without{edge: true, guard: true, refusal: true}},
		"silence is death, another version will do": {all, without{silence: true, guard: true, refusal: true}},

		"a route chooses the version, no callee check": {faults{policy: true}, without{routed: true, guard: true}},
		"a route without an instance leads to another version, no callee check": {faults{policy: true},
			without{elseAny: true, guard: true}},
		"a copy belongs to the trace that it copies": {faults{policy: true}, without{sameCopy: true}},
		"a copy holds no version back":               {faults{policy: true, slow: true}, without{freeCopy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				if found := play(seed, tc.f, tc.w).w.history.Check(); len(found) > 0 {
					t.Logf("seed %d: %d findings, the first: %s", seed, len(found), found[0])
					return
				}
			}
			t.Fatal("60 worlds without a finding: the checker does not see this rule")
		})
	}
}
