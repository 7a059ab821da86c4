package participant

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/rollout"
)

// BeginBootstrap says that the process has just started and may not know the site's
// newest rules yet: until release is called, [Agent.Await] waits. An agent that
// was never held knows what it knows.
func (a *Agent) BeginBootstrap() (release func()) {
	c := make(chan struct{})
	a.cold.Store(&c)
	return sync.OnceFunc(func() {
		a.cold.CompareAndSwap(&c, nil)
		close(c)
	})
}

// Ready reports whether the process has asked for the site's rules, so that a
// trace may begin here.
func (a *Agent) Ready() bool { return a.cold.Load() == nil }

// Await waits, before a trace begins, until the process knows the site's
// rules. It is over soon (see [Agent.BeginBootstrap]) and takes at most half of the time
// that ctx leaves; then the trace begins with the rules that are at hand, which
// is safe, since callees refuse what is too old.
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

// rounds are the questions for rules that a process puts to others. All
// waiting requests share a round, so that their number costs nothing.
type rounds struct {
	mu    sync.Mutex
	begun time.Time // of the last one
	next  *round    // that has not begun; nil without one
}

// round is one time that others are asked.
type round struct {
	to   rollout.Generation // the newest that is waited for
	over chan struct{}      // closed when all have answered, or have not in time
}

// OnMissingRules says how rules up to a generation are asked for, once it is needed; ask
// returns at once, and over is to be called when all were asked. Call it before
// the agent is used.
func (a *Agent) OnMissingRules(ask func(to rollout.Generation, over func())) { a.ask = ask }

// CatchUp waits until the process has applied a generation that another one
// says to know, and has it asked for meanwhile. It is false when ctx ends
// first, and as soon as a round of questions is over in which no process and
// no database had it: a number proves nothing, and may be a stranger's.
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

// askFor joins the next round. One that is under way may have passed the
// process that has learnt the generation since.
func (a *Agent) askFor(to rollout.Generation) (over <-chan struct{}) {
	if a.ask == nil {
		return nil // entries are brought, or ctx ends
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
