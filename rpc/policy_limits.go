package rpc

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/policy"
)

// policyGate is the state of one limit of the policy, for one service of this process.
type policyGate struct {
	item          *policy.Item // of the table in force
	pending, used atomic.Int64 // as in callGate
}

// gateKey finds the same limit in another table.
type gateKey struct {
	service, identity string
	number            int // among the limits of the same identity
}

// policyGates keeps the limits of the policy while tables come and go. Calls that run, and the rate that was spent,
// still count under a new table. It is safe for concurrent use.
type policyGates struct {
	mu    sync.Mutex
	table *policy.Table
	now   map[gateKey]*policyGate // of table
	past  map[gateKey]*policyGate // of the tables before it
}

// of returns the gate of a limit in a table. A reader may still ask for an older table.
func (g *policyGates) of(t *policy.Table, service string, item *policy.Item) *policyGate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table != t || g.now == nil {
		g.turn(t)
	}
	for key := (gateKey{service, limitIdentity(item), 0}); ; key.number++ {
		gate := g.now[key]
		if gate == nil {
			gate = &policyGate{}
			if past := g.past[key]; past != nil {
				gate = past
				delete(g.past, key)
			}
			gate.item = item
			g.now[key] = gate
		}
		if gate.item == item {
			return gate
		}
	}
}

// turn begins with another table. Limits with running calls are remembered until these have ended, the others of the
// last table until the next one.
func (g *policyGates) turn(t *policy.Table) {
	past := g.now
	for key, gate := range g.past {
		if gate.pending.Load() > 0 && past[key] == nil {
			past[key] = gate
		}
	}
	g.table, g.now, g.past = t, map[gateKey]*policyGate{}, past
}

// limitIdentity is the same for a limit before and after an operator changes its numbers.
func limitIdentity(i *policy.Item) string {
	return i.Identity() + "\x00" + i.Per + strconv.FormatBool(i.Pending > 0) + strconv.FormatBool(i.Rate > 0)
}

// limitsHeld are the limits in which a call has a place.
type limitsHeld struct{ gates []heldGate }

type heldGate struct {
	gate     *policyGate
	interval int64 // that the call has spent
}

// undo takes a call back that did not happen.
func (h *limitsHeld) undo() {
	for _, g := range h.gates {
		g.gate.pending.Add(-1)
		g.gate.used.Add(-g.interval)
	}
	h.free()
}

var heldLimits = sync.Pool{New: func() any { return &limitsHeld{} }}

func (h *limitsHeld) free() {
	clear(h.gates)
	h.gates = h.gates[:0]
	heldLimits.Put(h)
}
