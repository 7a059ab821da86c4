package participant

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// BeginBootstrap declares that the process has just started and may lack the
// site's newest rules. [Agent.Await] waits until release is called. Without
// BeginBootstrap it never waits.
func (a *Agent) BeginBootstrap() (release func()) {
	c := make(chan struct{})
	a.cold.Store(&c)
	return sync.OnceFunc(func() {
		a.cold.CompareAndSwap(&c, nil)
		close(c)
	})
}

// Ready reports whether the process has asked for the site's rules. A trace may
// then begin here.
func (a *Agent) Ready() bool { return a.cold.Load() == nil }

// Await waits, before a trace begins, until the process knows the site's rules:
// until the release of [Agent.BeginBootstrap], and for at most half of the time
// that ctx leaves. After that the trace begins with the rules at hand. That is
// safe, since callees refuse tokens that are too old.
func (a *Agent) Await(ctx context.Context) {
	c := a.cold.Load()
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

// rounds are a process's questions to other processes for rules. All waiting
// requests share a round, so their number adds no cost.
type rounds struct {
	mu    sync.Mutex
	begun time.Time // start of the last one
	next  *round    // the one that has not started; nil: none
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

// CatchUp waits until the process has applied a generation that another process
// named, and has it asked for. It returns false when ctx ends, or when a round
// of questions ends and neither a process nor a database had it. A number
// proves nothing: any sender may name one.
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

// askFor joins the next round. The present round may already have passed a
// process that has learnt the generation since.
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
