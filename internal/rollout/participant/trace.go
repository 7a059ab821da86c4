package participant

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// Trace is a process's part in one trace: the token that its calls carry, and
// the span by which the ledger counts it. It travels in a context. An [Origin]
// begins it or joins it. The zero value is not usable, and a Trace must not be
// copied.
type Trace struct {
	origin      *Origin
	root        bool
	settled     bool // a call was executed, or may have been, so the token is fixed; guarded by mu
	restarted   bool // the token was replaced once; guarded by mu
	by          starter
	out         int32 // calls under way; guarded by mu
	span        span  // for a root, replaced under mu
	restriction atomic.Pointer[callRestriction]

	outside string // see Outside; set once, by Join

	mu       sync.Mutex // used by roots only: their token may change
	token    rollout.Token
	raw      string        // the encoded token
	returned chan struct{} // closed when no call is under way; nil: no goroutine waits
}

// starter is what has begun a trace in this process.
type starter uint8

const (
	byHandler starter = iota // a call that came in, or one that was made outside any trace
	byJob
	byFollow
)

// TraceKey is the key of the *Trace in a context, for contexts of a caller's
// own type.
type TraceKey struct{}

// TraceFrom returns the trace of a context, nil when there is none.
func TraceFrom(ctx context.Context) *Trace {
	t, _ := ctx.Value(TraceKey{}).(*Trace)
	return t
}

// Context returns ctx with the trace.
func (t *Trace) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, TraceKey{}, t)
}

// Outside returns the caller's address if the caller has not proved to belong
// to the site, else "".
func (t *Trace) Outside() string { return t.outside }

// Begin starts a trace at this process, as [Origin.Begin] does.
func (a *Agent) Begin(origin string, seed uint64, mark string) *Trace {
	t := &Trace{by: byJob}
	a.Origin(origin, "").Begin(t, seed, mark)
	return t
}

// Follow is Begin for a stream that its caller opens again whenever it ends. Each
// opening has a trace of its own.
func (a *Agent) Follow(origin string, seed uint64, mark string) *Trace {
	t := &Trace{by: byFollow}
	a.Origin(origin, "").Begin(t, seed, mark)
	return t
}

// Job reports whether the trace belongs to no handler: Begin, Follow or Detach
// has begun it.
func (t *Trace) Job() bool { return t.by != byHandler }

// Follows reports whether Follow has begun the trace.
func (t *Trace) Follows() bool { return t.by == byFollow }

// Detach begins a separate trace for work that outlives this one. It reads the
// newest rules, with the same seed and mark.
func (t *Trace) Detach() *Trace {
	token, d := t.Token(), &Trace{by: byJob}
	t.origin.Begin(d, token.Seed, token.Mark)
	return d
}

func (t *Trace) setToken(token rollout.Token) {
	t.token = token
	t.raw = token.Raw()
}

func (t *Trace) lock() {
	if t.root {
		t.mu.Lock()
	}
}

func (t *Trace) unlock() {
	if t.root {
		t.mu.Unlock()
	}
}

// Token returns the token that the next call of the trace carries.
func (t *Trace) Token() rollout.Token {
	t.lock()
	defer t.unlock()
	return t.token
}

// Send returns the token for an attempt of a call to a service, and its
// encoding. The span is held, and the token fixed, until Returned is called.
// Returned must be called after an error, too. The error is ErrCallRestricted or
// nil.
func (t *Trace) Send(service string) (token rollout.Token, raw string, err error) {
	if t.root {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.out++
	}
	t.span.handOff()
	if p := t.restriction.Load(); p != nil && !p.allows(service) { // the span must be held first
		err = ErrCallRestricted
	}
	return t.token, t.raw, err
}

// Returned ends an attempt. settled says that the attempt was executed, or may
// have been: the token is then fixed for good.
func (t *Trace) Returned(settled bool) {
	if !t.root {
		t.span.drop()
		t.applyRestriction()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.span.drop()
	t.applyRestriction()
	t.settled = t.settled || settled
	if t.out--; t.out == 0 && t.returned != nil {
		close(t.returned)
		t.returned = nil
	}
}

// Refresh gives a root a token of the newest rules, once, when all of its calls
// so far were refused. That is safe, because no call was executed with the old
// token. It reports whether the trace now has another token than the refused
// one.
//
// The root keeps its token if the newest rules send the trace to another version
// of the root's own service, because that version already runs the root. Other
// calls of the root that are under way may still be executed, so Refresh first
// waits until they have returned, or until ctx ends.
func (t *Trace) Refresh(ctx context.Context, refused rollout.Token) bool {
	for t.root {
		t.mu.Lock()
		switch {
		case t.token != refused:
			t.mu.Unlock()
			return true // another call of the root was refused as well, and has refreshed it
		case t.out == 0 || t.settled:
			defer t.mu.Unlock()
			return t.restart()
		}
		if t.returned == nil {
			t.returned = make(chan struct{})
		}
		wait := t.returned
		t.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// restart replaces the token. The caller holds mu, and no call is under way.
func (t *Trace) restart() bool {
	if t.settled || t.restarted {
		return false
	}
	cell, log := t.origin.newest()
	newest := log.Token(t.token.Seed, t.token.Mark)
	if t.token == newest || !t.origin.admits(log, newest) {
		cell.end()
		return false
	}
	t.restarted = true
	old := t.span.cell
	t.span.cell = cell
	t.setToken(newest)
	old.end()
	if p := t.restriction.Load(); p != nil {
		p.applied.Store(false)
		t.applyRestriction()
	}
	return true
}

// HandOff keeps the trace's span counted for a call that may be executed after
// its caller has stopped waiting. Call release when the receiver has accepted or
// refused the call, or when its deadline has passed. A second release has no
// effect.
func (t *Trace) HandOff() (release func()) {
	t.lock()
	defer t.unlock()
	if !t.span.handOff() {
		return func() {}
	}
	return sync.OnceFunc(t.End)
}

// End ends the process's own work on the trace.
func (t *Trace) End() {
	t.lock()
	defer t.unlock()
	t.span.release()
}

// Restartable reports whether Refresh may still give the trace another token.
func (t *Trace) Restartable() bool {
	t.lock()
	defer t.unlock()
	return t.root && !t.settled && !t.restarted
}
