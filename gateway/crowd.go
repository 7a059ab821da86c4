package gateway

import (
	"container/heap"
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is the listener for clients, with a limited number of connections. Limits act under
// pressure: below ¾ of the limit no connection is closed. From there on each new connection costs
// the oldest connection that has never completed a request, of the address that has most such
// connections. An address that only opens connections therefore loses its own. At the limit, the
// connection goes that has waited longest for its next request; HTTP lets a server close it at any
// time. If there is none, the new connection goes.
type crowd struct {
	net.Listener
	limit int
	write time.Duration // for a client to read some of the written bytes; 0 or less means no limit
	log   *slog.Logger
	stop  <-chan struct{}

	mu      sync.Mutex
	all     int
	sources map[netip.Prefix]*source
	fresh   freshest
	idle    list.List // of *client that wait for a request, the longest wait first
	closed  int       // by the limit, since the last line of the log
	said    time.Time
}

// freshFor is the time for a handshake and the first request. A younger connection without a
// request keeps its place while there are older ones.
const freshFor = time.Second

// source is an address and its connections without an answered request.
type source struct {
	name  netip.Prefix
	fresh list.List // of *client, the oldest first
	at    int       // in the heap
}

// freshest is a heap of sources, the one with most fresh connections first.
type freshest []*source

func (f freshest) Len() int { return len(f) }
func (f freshest) Less(i, j int) bool {
	a, b := &f[i].fresh, &f[j].fresh
	if a.Len() != b.Len() || a.Len() == 0 {
		return a.Len() > b.Len()
	}
	return a.Front().Value.(*client).begun.Before(b.Front().Value.(*client).begun)
}
func (f freshest) Swap(i, j int) {
	f[i], f[j] = f[j], f[i]
	f[i].at, f[j].at = i, j
}

// Push implements heap.Interface.
func (f *freshest) Push(x any) {
	s := x.(*source)
	s.at = len(*f)
	*f = append(*f, s)
}

// Pop implements heap.Interface.
func (f *freshest) Pop() any {
	last := len(*f) - 1
	s := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return s
}

// client is the connection of one client.
type client struct {
	net.Conn
	crowd *crowd
	from  *source
	begun time.Time
	fresh *list.Element // in from; nil once a request was answered
	idle  *list.Element // in crowd; nil while a request is under way
	gone  bool

	half     atomic.Bool     // its sending side has ended soon after a request
	unserved atomic.Bool     // a request has begun that the gateway's handler has not seen; the server may refuse it
	unread   atomic.Bool     // the client may still send a body that is to be dropped
	spoilt   atomic.Bool     // the next bytes are such a body, not a request
	standing context.Context // ends with the connection, or when a write fails
	fall     context.CancelFunc
}

// newCrowd makes the crowd of a listener. The caller closes stop to end the service.
func newCrowd(l net.Listener, cfg Config, stop <-chan struct{}) *crowd {
	return &crowd{
		Listener: l,
		limit:    cfg.MaxConnections,
		write:    cfg.BodyIdle,
		log:      cfg.Logger,
		stop:     stop,
		sources:  map[netip.Prefix]*source{},
	}
}

// Accept returns the next connection that has a place.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		newcomer, out := c.enter(conn)
		if out != nil {
			out.forgive() // the gateway does not wait for further bytes of it
			out.Close()
		}
		if out != newcomer {
			return newcomer, nil
		}
	}
}

// enter gives a connection a place, and returns the connection that must go for it.
func (c *crowd) enter(conn net.Conn) (newcomer, out *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newcomer = &client{Conn: conn, crowd: c, begun: time.Now(), from: c.source(sourceOf(conn.RemoteAddr()))}
	newcomer.standing, newcomer.fall = context.WithCancel(context.Background())
	if c.all >= c.limit-c.limit/4 {
		out = c.surplus()
	}
	if out == nil && c.all >= c.limit {
		out = newcomer
	}
	c.all++
	newcomer.fresh = newcomer.from.fresh.PushBack(newcomer)
	heap.Fix(&c.fresh, newcomer.from.at)
	if out != nil {
		c.report(out)
	}
	return newcomer, out
}

// surplus is the connection that must go for a new one, if any.
func (c *crowd) surplus() *client {
	most := &c.fresh[0].fresh
	oldest := func() *client { return most.Front().Value.(*client) }
	switch longest := c.idle.Front(); {
	case most.Len() > 0 && time.Since(oldest().begun) >= freshFor:
		return oldest()
	case c.all < c.limit:
		return nil
	case most.Len() > 1:
		return oldest()
	case longest != nil:
		return longest.Value.(*client)
	case most.Len() > 0:
		return oldest()
	}
	return nil
}

// source returns the record of an address.
func (c *crowd) source(name netip.Prefix) *source {
	s := c.sources[name]
	if s == nil {
		s = &source{name: name}
		c.sources[name] = s
		heap.Push(&c.fresh, s)
	}
	return s
}

// sourceOf is the address that a connection counts for. For IPv6 it is the network, as one host
// owns a whole network.
func sourceOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the number of bits fits the address
	return p
}

// report logs once a minute that connections were closed.
func (c *crowd) report(out *client) {
	c.closed++
	if now := time.Now(); now.Sub(c.said) >= time.Minute {
		c.log.Warn("connections of users closed, as there are almost as many as gateway.max_connections",
			"closed", c.closed, "connections", c.all, "limit", c.limit, "from", out.from.name.String())
		c.said, c.closed = now, 0
	}
}

// answered notes that the connection has completed a request.
func (c *client) answered() {
	c.crowd.mu.Lock()
	defer c.crowd.mu.Unlock()
	c.grown()
}

func (c *client) grown() {
	if c.fresh == nil || c.gone {
		return
	}
	c.from.fresh.Remove(c.fresh)
	c.fresh = nil
	c.crowd.left(c.from)
}

// left notes that a source has one fresh connection less. It forgets a source without fresh
// connections.
func (c *crowd) left(s *source) {
	if s.fresh.Len() > 0 {
		heap.Fix(&c.fresh, s.at)
		return
	}
	heap.Remove(&c.fresh, s.at)
	delete(c.sources, s.name)
}

// state follows the states that http.Server reports for the connection.
func (c *client) state(s http.ConnState) {
	c.crowd.mu.Lock()
	defer c.crowd.mu.Unlock()
	if c.idle != nil {
		c.crowd.idle.Remove(c.idle)
		c.idle = nil
	}
	switch s {
	case http.StateActive:
		c.unserved.Store(true)
	case http.StateIdle:
		c.unserved.Store(false)
		c.spoilt.Store(c.unread.Load())
	}
	if s == http.StateIdle && !c.gone && c.fresh == nil {
		c.idle = c.crowd.idle.PushBack(c)
	}
}

type clientKey struct{}

// clientOf finds the client below the connections that a server wraps around it.
func clientOf(conn net.Conn) *client {
	for {
		switch c := conn.(type) {
		case *client:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// answered notes that the response to a request begins.
func answered(ctx context.Context) {
	if c, ok := ctx.Value(clientKey{}).(*client); ok {
		c.answered()
	}
}
