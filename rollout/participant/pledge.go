package participant

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/rollout"
)

// pledge is what work has said of its own future.
type pledge struct {
	services []string // that it may still call, sorted
	kept     atomic.Bool
}

func (p *pledge) allows(service string) bool {
	return slices.Contains(p.services, service) || slices.Contains(p.services, rollout.Anywhere)
}

// Only says that the process's work on the trace calls these services from
// here on, and no others; none named: nobody. Versions of what they don't lead
// to need not wait for it any more. Other calls are refused ([rollout.ErrForsworn]). A
// second pledge can only take more away. What the work has sent before, and
// what has not come back, still counts.
func (t *Trace) Only(services ...string) {
	next := &pledge{services: slices.Sorted(slices.Values(services))}
	for {
		old := t.only.Load()
		if old != nil {
			next.services = slices.DeleteFunc(next.services, func(s string) bool { return !old.allows(s) })
		}
		if t.only.CompareAndSwap(old, next) {
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
	p := t.only.Load()
	if p == nil || p.kept.Load() || !t.span.holds.CompareAndSwap(1, 2) { // while it is 2, nobody ends the span
		return
	}
	if !p.kept.Swap(true) {
		k, old := t.span.cell.class, t.span.cell
		k.narrow, k.only = true, strings.Join(p.services, ",")
		t.span.cell = t.origin.agent.ledger.begin(k)
		old.end()
	}
	t.span.Release()
}
