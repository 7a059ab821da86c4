package rollout

import (
	"context"
	"sync"
)

// Trace is a process's hold on one trace: the token that every call of it
// carries, and the span that keeps its generation alive here. It travels in a
// context.
type Trace struct {
	agent  *Agent
	origin string
	root   bool

	mu       sync.Mutex
	token    Token
	span     *Span
	settled  bool // a call was executed, or may have been: the token is fixed
	restarts int
}

type traceKey struct{}

// TraceFrom is the trace of a context, nil when there is none.
func TraceFrom(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

// Context returns ctx with the trace.
func (t *Trace) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// Begin starts a trace at this process: its root is an entry method, a job, or
// the gateway. origin names what runs (service.method or a job's name), seed
// decides on shares (SeedOf a user or of the trace id), mark is a verifier's.
// End it when its work is over.
func (a *Agent) Begin(origin string, seed uint64, mark string) *Trace {
	token := Token{Generation: a.log.Load().Last(), Seed: seed, Mark: mark}
	return &Trace{agent: a, origin: origin, root: true, token: token, span: a.ledger.Begin(token.Generation, origin)}
}

// Join continues a trace that a call has brought here, after [Log.Admit] has
// let it in. running is the service/version that executes it.
func (a *Agent) Join(origin, running string, token Token) *Trace {
	return &Trace{agent: a, origin: origin, settled: true, token: token, span: a.ledger.begin(token.Generation, origin, running)}
}

// Orphan counts a call without token and gives it a trace of its own.
func (a *Agent) Orphan(origin, running string, seed uint64) *Trace {
	a.orphans.Add(1)
	token := Token{Generation: a.log.Load().Last(), Seed: seed}
	return &Trace{agent: a, origin: origin, root: true, token: token, span: a.ledger.begin(token.Generation, origin, running)}
}

// Token is what the trace's next call carries.
func (t *Trace) Token() Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// Settle fixes the token: a call of the trace was executed or may have been.
func (t *Trace) Settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled = true
}

// Refresh gives a root whose first call was refused a token of the newest
// rules, once, and reports whether it did: nothing was executed by the old
// token, so nobody can have seen it.
func (t *Trace) Refresh() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := t.agent.log.Load().Last()
	if !t.root || t.settled || t.restarts > 0 || !t.token.Generation.Before(newest) {
		return false
	}
	t.restarts++
	old := t.span
	t.token.Generation = newest
	t.span = t.agent.ledger.begin(newest, t.origin, old.running)
	old.Release()
	return true
}

// HandOff keeps the trace's span counted for a one-way call until the returned
// release is called: when the receiver has accepted or refused it, or its
// deadline has passed. Further calls of release do nothing.
func (t *Trace) HandOff() (release func()) {
	t.mu.Lock()
	span := t.span
	t.mu.Unlock()
	span.HandOff()
	return sync.OnceFunc(span.Release)
}

// End ends the process's own work on the trace.
func (t *Trace) End() {
	t.mu.Lock()
	span := t.span
	t.mu.Unlock()
	span.Release()
}
