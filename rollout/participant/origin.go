package participant

import (
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/rollout"
)

// Origin is what a process runs for traces: a method of a service, or a job.
// Make one for each and keep it: counting a span of a kept origin takes a few
// nanoseconds and no memory. It is safe for concurrent use.
type Origin struct {
	agent   *Agent
	name    string
	running string
	last    atomic.Pointer[cell] // of the newest class; others are looked up
	orphans atomic.Int64         // calls without a token

	lastOutside atomic.Pointer[cell] // like last, of callers from outside
}

// Origin makes the origin with a name: service.method, or the name of a job.
// running is the service/version that executes it, "" for a root that is no
// handler.
func (a *Agent) Origin(name, running string) *Origin {
	if i := strings.LastIndexByte(running, '/'); i > 0 {
		a.graph.serve(running[:i])
	}
	return &Origin{agent: a, name: name, running: running}
}

// Begin makes t a new trace, whose root is here: an entry method, a job, or
// the gateway. seed decides on shares (SeedOf a user or of the trace id), mark
// is a verifier's. End it when its work is over.
func (o *Origin) Begin(t *Trace, seed uint64, mark string) {
	t.origin, t.root = o, true
	c, log := o.newest()
	t.setToken(log.Token(seed, mark))
	t.span.begin(c)
}

// Orphan is Begin for a call without a token, which is counted.
func (o *Origin) Orphan(t *Trace, seed uint64) {
	if o.orphans.Add(1) == 1 {
		o.agent.orphaned(o)
	}
	o.Begin(t, seed, "")
}

// Join makes t the part that this process has in a trace that a call has
// brought here, after [Log.Admit] has let it in. raw is the token as it came
// (Token.AppendRaw), for the calls that t makes; "" makes it anew. outside is
// the address that the call came from when the caller has not shown that it is
// a process of the site; else "".
func (o *Origin) Join(t *Trace, token rollout.Token, raw, outside string) {
	t.origin, t.outside = o, outside
	if t.token, t.raw = token, raw; raw == "" {
		t.setToken(token)
	}
	if outside != "" {
		t.span.begin(o.stranger(token.Generation, outside))
		return
	}
	t.span.begin(o.cell(token.Generation))
}

// stranger counts a span that came from outside.
func (o *Origin) stranger(g rollout.Generation, from string) *cell {
	c := o.lastOutside.Load()
	if c == nil || c.class.generation != g || !c.begin() {
		c = o.agent.ledger.begin(class{generation: g, origin: o.name, running: o.running, outside: true})
		o.lastOutside.Store(c)
	}
	if last := c.from.Load(); last == nil || *last != from {
		newest := from // the parameter would be allocated for each call
		c.from.Store(&newest)
	}
	return c
}

// admits reports whether a trace with the token may be at what the origin runs
// for: the version of a service, or a root that is no handler.
func (o *Origin) admits(log *rollout.Log, t rollout.Token) bool {
	i := strings.LastIndexByte(o.running, '/')
	if i <= 0 {
		return true
	}
	want, ok, err := log.Resolve(o.running[:i], t)
	return err == nil && (!ok || want == o.running[i+1:])
}

// newest counts a span of the newest generation. It looks at the rules again
// after that: once the process has reported newer ones, none of an older
// generation may begin uncounted.
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

// cell counts one span.
func (o *Origin) cell(g rollout.Generation) *cell {
	if c := o.last.Load(); c != nil && c.class.generation == g && c.begin() {
		return c
	}
	c := o.agent.ledger.begin(class{generation: g, origin: o.name, running: o.running})
	o.last.Store(c)
	return c
}
