package rollout

import (
	"context"
	"sync"
	"time"
)

// Hold says that the process has just started and may not know the site's
// newest rules yet: until release is called, [Agent.Await] waits. An agent that
// was never held knows what it knows.
func (a *Agent) Hold() (release func()) {
	c := make(chan struct{})
	a.cold.Store(&c)
	return sync.OnceFunc(func() {
		a.cold.CompareAndSwap(&c, nil)
		close(c)
	})
}

// Known reports whether the process has asked for the site's rules, so that a
// trace may begin here.
func (a *Agent) Known() bool { return a.cold.Load() == nil }

// Await waits, before a trace begins, until the process knows the site's
// rules. It is over soon (see [Agent.Hold]) and takes at most half of the time
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

// askAgain is how often somebody who waits for rules has them asked for.
const askAgain = 250 * time.Millisecond

// AskBy says how rules up to a generation are asked for, once it is needed; ask
// returns at once. Call it before the agent is used.
func (a *Agent) AskBy(ask func(Generation)) { a.ask = ask }

// CatchUp waits until the process has applied a generation that somebody else
// knows already, and has it asked for meanwhile. It is false when ctx ends first.
func (a *Agent) CatchUp(ctx context.Context, to Generation) bool {
	for {
		changed := a.Changed()
		if !a.Log().Last().Before(to) {
			return true
		}
		if a.ask != nil {
			a.ask(to)
		}
		again := time.NewTimer(askAgain)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return false
		}
		again.Stop()
	}
}
