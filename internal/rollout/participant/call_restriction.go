package participant

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// callRestriction is a limit that work has set to its own future calls.
type callRestriction struct {
	services []string // services that it may still call, sorted
	applied  atomic.Bool
}

func (p *callRestriction) allows(service string) bool {
	return slices.Contains(p.services, service) || slices.Contains(p.services, rollout.Anywhere)
}

// RestrictCalls declares that the process's work on the trace calls only these
// services from now on; without arguments, none. Other calls fail with
// [ErrCallRestricted]. Versions that the services can't reach need not wait for
// the work any more. A second restriction can only remove services. Calls that
// were sent before and have not returned still count.
func (t *Trace) RestrictCalls(services ...string) {
	next := &callRestriction{services: slices.Sorted(slices.Values(services))}
	for {
		old := t.restriction.Load()
		if old != nil {
			next.services = slices.DeleteFunc(next.services, func(s string) bool { return !old.allows(s) })
		}
		if t.restriction.CompareAndSwap(old, next) {
			break
		}
	}
	t.lock()
	defer t.unlock()
	t.narrow()
}

// narrow moves the span to the class of its restriction, if no call of it is
// under way. A root's caller holds mu.
func (t *Trace) narrow() {
	p := t.restriction.Load()
	if p == nil || p.applied.Load() || !t.span.holds.CompareAndSwap(1, 2) { // while it is 2, the span can't end
		return
	}
	if !p.applied.Swap(true) {
		k, old := t.span.cell.class, t.span.cell
		k.narrow, k.only = true, strings.Join(p.services, ",")
		t.span.cell = t.origin.agent.ledger.begin(k)
		old.end()
	}
	t.span.release()
}
