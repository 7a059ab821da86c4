package run

import (
	"context"
	"errors"
	"sync"
)

// Group owns goroutines. Create it with [NewGroup]; its methods may be called
// from any goroutine.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	err    error
	closed bool // set by Wait and Stop: no goroutine may start any more
}

// NewGroup returns a group. Its goroutines stop when ctx ends, when Stop is called, or when one of
// them started by [Group.Go] fails.
func NewGroup(ctx context.Context) *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// Context ends when the group is stopping. Every goroutine of the group receives it.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine of the group. An error of f, other than the group's own cancellation,
// stops the whole group, and Wait returns it. Go reports false, and does not run f, when the group
// has already been stopped.
func (g *Group) Go(f func(ctx context.Context) error) bool {
	g.mu.Lock()
	if g.closed || g.ctx.Err() != nil {
		g.mu.Unlock()
		return false
	}
	g.wg.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.wg.Done()
		if err := f(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
			g.fail(err)
		}
	}()
	return true
}

func (g *Group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.cancel(err)
}

// Stop cancels the group's context and waits for its goroutines. It returns the result of Wait.
func (g *Group) Stop() error {
	g.cancel(context.Canceled)
	return g.Wait()
}

// Wait joins the goroutines and returns the first error, nil after a plain
// stop. Goroutines may start others while Wait is waiting; after it has
// returned, Go refuses.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait() // a goroutine that was started between the two lines above
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancel(context.Canceled)
	return g.err
}
