package rpc

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	sweepPeriod = 10 * time.Millisecond // while something is awaited; a call ends at most this late
	tidyPeriod  = time.Second           // between two looks for connections that are no longer needed
)

// sweeper is the only timer of a client: it times calls out, pings silent
// connections and closes those of retired endpoints. It sleeps while no call
// waits, so an idle client costs one wake-up a second.
type sweeper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// rouse is called whenever a call begins to wait.
func (s *sweeper) rouse() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// run sweeps the client's connections until ctx ends.
func (s *sweeper) run(ctx context.Context, c *Client) error {
	timer := time.NewTimer(tidyPeriod)
	defer timer.Stop()
	tidied := c.now()
	for {
		wait := sweepPeriod
		if !c.sweep() {
			s.asleep.Store(true)
			if c.sweep() { // a call may have come before asleep was set
				s.asleep.Store(false)
			} else {
				wait = tidyPeriod
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
		s.asleep.Store(false)
		if now := c.now(); now-tidied >= tidyPeriod {
			tidied = now
			c.tidy()
		}
	}
}
