package rpc

import (
	"context"
	"fmt"
	"net"
	"time"
)

// acceptWait is how long no connection may come until a listener is closed after
// another server has taken its place.
const acceptWait = 50 * time.Millisecond

// Handover stops a server on Unix sockets after another server has taken their
// place in the file system. It refuses nothing: it takes the connections that wait,
// closes the listener and the receiving half of each connection. What clients
// have sent before is read and answered; what they send later fails at once, with
// EPIPE on Linux, and is executed by no server. Each connection is closed when
// its calls are answered, upon which Serve returns. When ctx ends first the
// calls that still run are cut off, and the error says how many. On TCP a client
// can't tell what was read: use Drain.
func (s *Server) Handover(ctx context.Context) error {
	defer s.drainOnce.Do(func() { close(s.drained) })
	s.stopAccepting()
	_ = s.idle.await(ctx, func() bool { return s.accepts.Load() == 0 }) // when ctx ends, what waits is not taken
	s.closeListeners()
	for _, c := range s.connections(nil) {
		c.closeReading()
	}
	if err := s.idle.await(ctx, s.noConns); err != nil {
		return fmt.Errorf("hand over: %d calls were cut off: %w", s.running.Load(), err)
	}
	return nil
}

// stopAccepting has the listeners stop when no connection waits any more.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handover.Store(true)
	for l := range s.listeners {
		if acceptFor(l, acceptWait) {
			_ = l.Close() // it can't be told to end
		}
	}
}

// acceptFor has a listener fail with os.ErrDeadlineExceeded when the time is over.
// over reports that it can't.
func acceptFor(l net.Listener, d time.Duration) (over bool) {
	t, ok := l.(interface{ SetDeadline(time.Time) error })
	return !ok || t.SetDeadline(time.Now().Add(d)) != nil
}

// closeReading ends what the peer may still send. The reader of the connection
// sees the end when it has read what was sent before.
func (c *serverConn) closeReading() {
	if half, ok := c.wire.(interface{ CloseRead() error }); ok && half.CloseRead() == nil {
		return
	}
	c.close(errServerStopped)
}
