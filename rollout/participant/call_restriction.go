package participant

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/rollout"
)

// callRestriction is what work has said of its own future.
type callRestriction struct {
	services []string // that it may still call, sorted
	applied  atomic.Bool
}

func (p *callRestriction) allows(service string) bool {
	return slices.Contains(p.services, service) || slices.Contains(p.services, rollout.Anywhere)
}

// RestrictCalls says that the process's work on the trace calls these services from
// here on, and no others; none named: nobody. Versions of what they don't lead
// to need not wait for it any more. Other calls are refused ([ErrCallRestricted]). A
// second pledge can only take more away. What the work has sent before, and
// what has not come back, still counts.
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

// narrow counts the span among those that call only what was pledged, when
// nothing that it has sent is under way. A root's caller holds mu.
func (t *Trace) narrow() {
	p := t.restriction.Load()
	if p == nil || p.applied.Load() || !t.span.holds.CompareAndSwap(1, 2) { // while it is 2, nobody ends the span
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
