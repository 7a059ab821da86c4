package participant

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// BeginBootstrap declares that the process has just started, and may lack the
// newest rules of the site. Until release is called, [Agent.Await] waits.
func (a *Agent) BeginBootstrap() (release func()) {
	c := make(chan struct{})
	a.start.Store(&c)
	return sync.OnceFunc(func() {
		a.start.CompareAndSwap(&c, nil)
		close(c)
	})
}

// Ready reports whether Await would not wait.
func (a *Agent) Ready() bool { return a.start.Load() == nil }

// Await waits until the release function of [Agent.BeginBootstrap] is called, but
// at most for half of the time that ctx leaves. Call it before a trace begins.
// After half of the time the trace begins with the rules that the process has.
// That is safe, because callees refuse tokens that are too old.
func (a *Agent) Await(ctx context.Context) {
	c := a.start.Load()
	if c == nil {
		return
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	select {
	case <-*c:
	case <-ctx.Done():
	}
}

// askAgain is the shortest time between two rounds of questions for rules.
const askAgain = 250 * time.Millisecond

// rounds holds the rounds of questions by which a process asks others for rules.
// All requests that wait share a round, so more of them cost no more questions.
type rounds struct {
	mu    sync.Mutex
	begun time.Time // when the last round began
	next  *round    // the round that has not begun yet; nil: none
}

// round is one round of questions.
type round struct {
	to   rollout.Generation // the newest generation that a request waits for
	over chan struct{}      // closed when all have answered or timed out
}

// OnMissingRules sets the function that asks for rules up to a generation. ask
// must return at once, and call over when all processes were asked. Call
// OnMissingRules before the agent is used.
func (a *Agent) OnMissingRules(ask func(to rollout.Generation, over func())) { a.ask = ask }

// CatchUp asks for the rules up to a generation that another process has named,
// and waits until they are applied. It returns false when ctx ends, or when a
// round of questions ends and neither a process nor a database has them. They
// may not exist: any sender can name a number.
func (a *Agent) CatchUp(ctx context.Context, to rollout.Generation) bool {
	if !a.Log().Last().Before(to) {
		return true
	}
	over := a.askFor(to)
	for {
		changed := a.Changed()
		if !a.Log().Last().Before(to) {
			return true
		}
		select {
		case <-changed:
		case <-over:
			return !a.Log().Last().Before(to)
		case <-ctx.Done():
			return false
		}
	}
}

// askFor joins the next round, and returns a channel that is closed when that is
// over. The present round is not enough: it may have asked a process before that
// process learnt the generation.
func (a *Agent) askFor(to rollout.Generation) (over <-chan struct{}) {
	if a.ask == nil {
		return nil // entries arrive without being asked for, or ctx ends
	}
	r := &a.rounds
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{over: make(chan struct{})}
		time.AfterFunc(time.Until(r.begun.Add(askAgain)), a.askRound)
	}
	if r.next.to.Before(to) {
		r.next.to = to
	}
	return r.next.over
}

// askRound begins the next round.
func (a *Agent) askRound() {
	r := &a.rounds
	r.mu.Lock()
	now := r.next
	r.next, r.begun = nil, time.Now()
	r.mu.Unlock()
	a.ask(now.to, sync.OnceFunc(func() { close(now.over) }))
}
