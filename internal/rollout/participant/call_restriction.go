package participant

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// callRestriction is a limit that work has set on its own future calls.
type callRestriction struct {
	services []string    // services that it may still call, sorted
	applied  atomic.Bool // the span is counted in the class of the restriction
}

func (p *callRestriction) allows(service string) bool {
	return slices.Contains(p.services, service) || slices.Contains(p.services, rollout.Anywhere)
}

// RestrictCalls declares that the process's work on the trace calls only these
// services from now on; without arguments, none. Other calls fail with
// [ErrCallRestricted]. A version that these services can't reach need not wait
// for the work any more, once its earlier calls have returned. A second
// restriction can only remove services.
func (t *Trace) RestrictCalls(services ...string) {
	next := &callRestriction{services: slices.Sorted(slices.Values(services))}
	for {
		old := t.restriction.Load()
		switch {
		case old == nil:
		case slices.Contains(next.services, rollout.Anywhere):
			next.services = slices.Clone(old.services)
		default:
			next.services = slices.DeleteFunc(next.services, func(s string) bool { return !old.allows(s) })
		}
		if t.restriction.CompareAndSwap(old, next) {
			break
		}
	}
	t.lock()
	defer t.unlock()
	t.applyRestriction()
}

// applyRestriction counts the span in the class of its restriction, if no call of
// it is under way. For a root the caller holds mu.
func (t *Trace) applyRestriction() {
	p := t.restriction.Load()
	// A second hold, so that the span can't end meanwhile.
	if p == nil || p.applied.Load() || !t.span.holds.CompareAndSwap(1, 2) {
		return
	}
	if !p.applied.Swap(true) {
		k, old := t.span.cell.class, t.span.cell
		k.restricted, k.only = true, strings.Join(p.services, ",")
		t.span.cell = t.origin.agent.ledger.begin(k)
		old.end()
	}
	t.span.release()
}
