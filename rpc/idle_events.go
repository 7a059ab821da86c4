package rpc

import (
	"context"
	"sync"
	"sync/atomic"
)

// idleEvents wakes goroutines that wait for the end of calls, connections or listeners. It is safe
// for concurrent use; the zero value is ready.
type idleEvents struct {
	waiting atomic.Int32 // goroutines in await

	mu   sync.Mutex
	next chan struct{} // closed by the next announcement; nil: no goroutine waits for it
}

// await returns when done reports true. A change of done's answer must be followed by announce.
// When ctx ends first, the error is its cause.
func (e *idleEvents) await(ctx context.Context, done func() bool) error {
	e.waiting.Add(1)
	defer e.waiting.Add(-1)
	for {
		next := e.following()
		if done() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (e *idleEvents) following() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next == nil {
		e.next = make(chan struct{})
	}
	return e.next
}

// announce makes the goroutines in await call done again.
func (e *idleEvents) announce() {
	if e.waiting.Load() == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next != nil {
		close(e.next)
		e.next = nil
	}
}
