package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// byeWait is how long drained connections may take to be closed by their
// clients.
const byeWait = time.Second

// drainPoll is the interval at which DrainService counts the calls of its service.
const drainPoll = 5 * time.Millisecond

// Leave tells every skerry client that this server is going to stop, so that new calls go
// elsewhere. Clients that connect later learn it at once. The server continues to serve.
func (s *Server) Leave() {
	s.leaving.Store(true)
	for _, c := range s.connections(nil) {
		c.goaway()
	}
	s.eachStream("", func(st *serverStream) { st.move() })
}

// LeaveService tells every skerry client that one service of several is going
// to stop here, as Leave does for all.
func (s *Server) LeaveService(service string) {
	for _, c := range s.connections(nil) {
		if c.skerry.Load() && !c.goawaySent.Load() {
			_ = c.out.Send(appendGoaway(nil, service), nil, 0)
		}
	}
	s.eachStream(service, func(st *serverStream) { st.move() })
}

// Drain stops the server politely. It takes no more connections, and closes idle ones of clients of
// other libraries. It refuses further calls as not executed and waits until the running ones are
// answered. It then tells its clients that nothing else was executed, and closes everything. Serve
// returns then. When ctx ends first, Drain cuts off the calls that still run, and the error has
// their number.
func (s *Server) Drain(ctx context.Context) error {
	s.leaving.Store(true)
	s.draining.Store(true)
	defer s.drainOnce.Do(func() { close(s.drained) })
	s.closeListeners()
	for _, c := range s.connections(nil) {
		if !c.skerry.Load() && c.rests() {
			c.bye()
		}
	}
	s.eachStream("", func(st *serverStream) { st.move() })
	cut := time.AfterFunc(s.streams.limits.Grace, s.cutStreams)
	defer cut.Stop()
	if err := s.idle.await(ctx, s.noCalls); err != nil {
		return fmt.Errorf("drain: %d calls were cut off: %w", s.running.Load(), err)
	}
	for _, c := range s.connections(nil) {
		c.bye()
	}
	wait, cancel := context.WithTimeout(ctx, byeWait)
	defer cancel()
	_ = s.idle.await(wait, s.noConns) // what stands then is closed by Serve
	return nil
}

// DrainService waits until no call runs of a service that was removed (see Handle). When ctx ends
// first the calls go on, and the error has their number.
func (s *Server) DrainService(ctx context.Context, service string) error {
	// A call that the reader of a connection runs is unregistered for a moment (see handOff), so
	// two counts must find none.
	for quiet := 0; quiet < 2; {
		running := s.callsOf(service)
		if quiet++; running > 0 {
			quiet = 0
		}
		if run.Sleep(ctx, drainPoll) != nil {
			if running > 0 {
				return fmt.Errorf("drain of %s: %d calls still run: %w", service, running, context.Cause(ctx))
			}
			return nil
		}
	}
	return nil
}

// Running counts the calls of a service that run. A call may be missed for a moment, so that only
// several counts in a row show that none runs.
func (s *Server) Running(service string) int { return s.callsOf(service) }

// callsOf counts the calls of a service that run.
func (s *Server) callsOf(service string) (n int) {
	for _, c := range s.connections(nil) {
		c.mu.Lock()
		for _, r := range c.running {
			if r.served != nil && r.served.name == service {
				n++
			}
		}
		c.mu.Unlock()
	}
	return n
}

// connections returns those that a group owns, or all for nil.
func (s *Server) connections(of *run.Group) []*serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*serverConn, 0, len(s.conns))
	for c := range s.conns {
		if of == nil || c.group == of {
			list = append(list, c)
		}
	}
	return list
}

func (s *Server) closeConns(of *run.Group) {
	for _, c := range s.connections(of) {
		c.close(errServerStopped)
	}
}

// rests reports whether no call runs on the connection.
func (c *serverConn) rests() bool {
	c.mu.Lock()
	rests := len(c.ordered) == 0 && len(c.running) == 0
	c.mu.Unlock()
	c.workers.inline.each(func(r *serverCall) { rests = rests && r.conn != c })
	return rests
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = l.Close()
	}
}

// ended counts one running call less. The last one wakes the goroutines that wait for the end of
// calls.
func (s *Server) ended() {
	if s.running.Add(-1) == 0 {
		s.idle.announce()
	}
}

func (s *Server) noCalls() bool { return s.running.Load() == 0 }

func (s *Server) noConns() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}
