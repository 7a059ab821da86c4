package participant

import (
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// Origin is where spans begin: a method of a service, a route, or a job. Make one
// for each and keep it, because counting a span of a kept origin takes a few
// nanoseconds and allocates nothing. It is safe for concurrent use.
type Origin struct {
	agent   *Agent
	name    string
	running string
	last    atomic.Pointer[cell] // the cell that was used last; others are looked up
	orphans atomic.Int64         // calls without a token

	lastOutside atomic.Pointer[cell] // like last, for callers from outside
}

// Origin returns an origin with a name: service.method, or the name of a route or
// job. running is the service/version that executes it, "" for a root that is not
// a handler.
func (a *Agent) Origin(name, running string) *Origin {
	if i := strings.LastIndexByte(running, '/'); i > 0 {
		a.graph.serve(running[:i])
	}
	return &Origin{agent: a, name: name, running: running}
}

// Begin makes t a new trace with its root at the origin. seed decides the trace's
// side in a split: it is rollout.SeedOf of a user, or of the trace id. mark is a
// verifier's mark, or "". Call End when the work is over.
func (o *Origin) Begin(t *Trace, seed uint64, mark string) {
	t.origin, t.root = o, true
	c, log := o.newest()
	t.setToken(log.Token(seed, mark))
	t.span.begin(c)
}

// Orphan is Begin for a call without a token, and counts the call as an orphan.
func (o *Origin) Orphan(t *Trace, seed uint64) {
	if o.orphans.Add(1) == 1 {
		o.agent.orphaned(o)
	}
	o.Begin(t, seed, "")
}

// Join makes t this process's part in a trace that a call brought, after
// [rollout.Log.Admit] has accepted it. raw is token as it was received, in the
// form of Token.AppendRaw; "" makes Join encode it. outside is the address of a
// caller that has not proved to belong to the site, else "".
func (o *Origin) Join(t *Trace, token rollout.Token, raw, outside string) {
	t.origin, t.outside = o, outside
	if t.token, t.raw = token, raw; raw == "" {
		t.setToken(token)
	}
	if outside != "" {
		t.span.begin(o.outsideCell(token.Generation, outside))
		return
	}
	t.span.begin(o.cell(token.Generation))
}

// outsideCell counts a span that a caller from outside has brought.
func (o *Origin) outsideCell(g rollout.Generation, from string) *cell {
	c := o.lastOutside.Load()
	if c == nil || c.class.generation != g || !c.begin() {
		c = o.agent.ledger.begin(class{generation: g, origin: o.name, running: o.running, outside: true})
		o.lastOutside.Store(c)
	}
	if last := c.from.Load(); last == nil || *last != from {
		newest := from // the parameter itself would be allocated for each call
		c.from.Store(&newest)
	}
	return c
}

// admits reports whether the log lets a trace with the token run at the
// origin's version. A root that is not a handler admits every trace.
func (o *Origin) admits(log *rollout.Log, t rollout.Token) bool {
	i := strings.LastIndexByte(o.running, '/')
	if i <= 0 {
		return true
	}
	want, ok, err := log.Resolve(o.running[:i], t)
	return err == nil && (!ok || want == o.running[i+1:])
}

// newest counts a span of the newest generation. If the log has changed after the
// count, it takes the count back and counts again. So a report of newer rules
// includes every span of an older generation that has begun.
func (o *Origin) newest() (*cell, *rollout.Log) {
	for {
		log := o.agent.log.Load()
		c := o.cell(log.Last())
		if o.agent.log.Load().Hash() == log.Hash() {
			return c, log
		}
		c.end()
	}
}

// cell counts one span of a generation.
func (o *Origin) cell(g rollout.Generation) *cell {
	if c := o.last.Load(); c != nil && c.class.generation == g && c.begin() {
		return c
	}
	c := o.agent.ledger.begin(class{generation: g, origin: o.name, running: o.running})
	o.last.Store(c)
	return c
}
