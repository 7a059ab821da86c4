package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/rollout/participant"
)

// callContext is the context of one call on either side. Most handlers never use Done, so the timer
// and the channel are made when Done is first called.
type callContext struct {
	base     context.Context
	deadline time.Time // zero = none
	info     *CallInfo // on the server's side
	trace    *participant.Trace

	watched atomic.Bool // full has been made

	mu     sync.Mutex
	full   context.Context // the standard context, made by the first Done; nil: not yet
	cancel context.CancelFunc
	err    error // set by end
}

// Deadline is the earlier of the call's and the base's deadline.
func (c *callContext) Deadline() (time.Time, bool) {
	d, ok := c.base.Deadline()
	switch {
	case c.deadline.IsZero():
		return d, ok
	case ok && d.Before(c.deadline):
		return d, true
	}
	return c.deadline, true
}

// Done is closed when the call ends in any way.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whole().Done()
}

// whole makes the standard context behind this one. The caller holds mu.
func (c *callContext) whole() context.Context {
	if c.full != nil {
		return c.full
	}
	c.watched.Store(true)
	if c.deadline.IsZero() {
		c.full, c.cancel = context.WithCancel(c.base)
	} else {
		c.full, c.cancel = context.WithDeadline(c.base, c.deadline)
	}
	if c.err != nil {
		c.cancel()
	}
	return c.full
}

// Err says why the call is over, nil while it is not.
func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.full != nil:
		return c.full.Err()
	case c.err != nil:
		return c.err
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return c.base.Err()
}

// servedKey is the key of the served call itself. infoKey may give a copy of its info with other baggage.
type servedKey struct{}

// Value returns the call's info and trace. The standard context answers all other keys, because
// package context finds its own contexts by such a key.
func (c *callContext) Value(key any) any {
	switch key.(type) {
	case infoKey:
		if c.info != nil {
			return c.info
		}
	case streamKey:
		if c.info != nil && c.info.stream != nil && c.info.stream.open != nil {
			return c.info.stream.open
		}
	case servedKey:
		if c.info != nil {
			return c.info
		}
	case participant.TraceKey:
		if c.trace != nil {
			return c.trace
		}
	}
	c.mu.Lock()
	full := c.full
	c.mu.Unlock()
	if full != nil {
		return full.Value(key)
	}
	return c.base.Value(key)
}

// ended reports whether end was called.
func (c *callContext) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// end ends the context; a second end does nothing.
func (c *callContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.cancel != nil {
		c.cancel()
	}
}
