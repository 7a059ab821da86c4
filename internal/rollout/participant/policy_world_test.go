package participant_test

import (
	"errors"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// sitePolicy is what the site's policy says at one process: shares of calls, and the instances that it prefers.
type sitePolicy struct {
	prefers  uint64  // a set of instances, drawn by their names; 0: none
	elseNone bool    // where none of them has the version, the call fails
	faults   float64 // fail before they are sent
	answers  float64 // are answered before they are sent
	copies   float64 // are sent twice, with the mark of a lane or of the open release
	limits   float64 // are refused by the callee
}

// errPolicy stands for all that a policy lets fail.
var errPolicy = errors.New("the site's policy")

// changePolicy gives a process another policy every few units. Processes never agree for long.
func (w *world) changePolicy(until int) {
	if !w.faults.policy {
		return
	}
	p := w.procs[w.rng.IntN(len(w.procs))]
	p.rules = sitePolicy{prefers: w.rng.Uint64N(4), elseNone: w.chance(0.3), faults: 0.02 * w.rng.Float64(),
		answers: 0.1 * w.rng.Float64(), copies: 0.3 * w.rng.Float64(), limits: 0.02 * w.rng.Float64()}
	if w.now > until { // the drain ends
		p.rules = sitePolicy{}
		return
	}
	w.after(5+w.rng.IntN(20), func() { w.changePolicy(until) })
}

// disturbed decides whether a call ends before it is sent.
func (p *proc) disturbed() (ends bool, err error) {
	switch r := p.rules; {
	case r.faults > 0 && p.w.chance(r.faults):
		return true, errPolicy
	case r.answers > 0 && p.w.chance(r.answers):
		return true, nil
	}
	return false, nil
}

// route chooses the preferred instances among those of the call's version. others are of other versions.
func (p *proc) route(fit, others []*proc) []*proc {
	if p.rules.prefers == 0 {
		return fit
	}
	preferred := func(of []*proc) (out []*proc) {
		for _, q := range of {
			if rollout.SeedOf(q.name)%3 == p.rules.prefers-1 {
				out = append(out, q)
			}
		}
		return out
	}
	there := preferred(fit)
	switch {
	case p.w.without.routed:
		there = preferred(append(slices.Clone(fit), others...))
	case p.w.without.elseAny && len(there) == 0:
		return append(slices.Clone(fit), others...)
	}
	if len(there) == 0 && !p.rules.elseNone {
		return fit
	}
	return there
}

// mirror sends a copy of a call. It is a trace of its own, which the caller's process holds until the copy has ended.
func (p *proc) mirror(t *trace, service string) {
	if t.copy || p.rules.copies == 0 || !p.w.chance(p.rules.copies) {
		return
	}
	p.w.copies++
	t.copies++
	mark := []string{"preview", "drill"}[p.w.rng.IntN(2)]
	c := &trace{id: t.id + "~" + string(rune('a'+t.copies%26)) + p.name + string(rune('a'+t.copies/26)), copy: true,
		token: p.log.Token(t.token.Seed, mark)}
	if p.w.without.sameCopy {
		c.id, c.spans = t.id, 1000*t.copies
	}
	ended := func(error) {}
	if !p.w.without.freeCopy {
		span := p.ledger.Begin(c.token.Generation, p.service)
		released := false
		ended = func(error) {
			if !released {
				released = true
				span.Release()
			}
		}
	}
	late := p.w.rng.IntN(20)
	if p.w.chance(0.1) { // no caller waits for it
		late = p.w.rng.IntN(2000)
	}
	p.w.after(late, func() {
		p.wake(func() { p.send(c, "copied", service, func(error) {}, ended) })
	})
	p.w.after(2400, func() { p.wake(func() { ended(nil) }) }) // its time-out
}
