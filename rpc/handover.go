package rpc

import (
	"context"
	"fmt"
	"net"
	"time"
)

// acceptWait is the time without a new connection after which a listener is closed, when another
// server has taken its place.
const acceptWait = 50 * time.Millisecond

// Handover stops a server on Unix sockets after another server has taken their place in the file
// system. It refuses nothing: it accepts waiting connections, then closes the listener and the
// receiving half of each connection. Requests that clients sent before are read and answered. Later
// ones fail at once, with EPIPE on Linux, and no server executes them. Each connection is closed
// when its calls are answered. Serve returns when all are closed. When ctx ends first, the calls
// that still run are cut off, and the error has their number. On TCP a client can't know what was
// read: use Drain.
func (s *Server) Handover(ctx context.Context) error {
	defer s.drainOnce.Do(func() { close(s.drained) })
	s.stopAccepting()
	_ = s.idle.await(ctx, func() bool { return s.accepts.Load() == 0 }) // an earlier close drops waiting connections
	s.closeListeners()
	for _, c := range s.connections(nil) {
		c.closeReading()
	}
	if err := s.idle.await(ctx, s.noConns); err != nil {
		return fmt.Errorf("hand over: %d calls were cut off: %w", s.running.Load(), err)
	}
	return nil
}

// stopAccepting stops the listeners when no connection waits any more.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handover.Store(true)
	for l := range s.listeners {
		if acceptFor(l, acceptWait) {
			_ = l.Close() // this listener has no deadline
		}
	}
}

// acceptFor makes a listener fail with os.ErrDeadlineExceeded after d. over reports that the
// listener has no deadline.
func acceptFor(l net.Listener, d time.Duration) (over bool) {
	t, ok := l.(interface{ SetDeadline(time.Time) error })
	return !ok || t.SetDeadline(time.Now().Add(d)) != nil
}

// closeReading ends the receiving half. The reader sees the end after it has read what was sent
// before.
func (c *serverConn) closeReading() {
	if half, ok := c.wire.(interface{ CloseRead() error }); ok && half.CloseRead() == nil {
		return
	}
	c.close(errServerStopped)
}
