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

// crowd is the connections of clients, of which a limited number stand. Limits
// act under pressure: below ¾ of the limit nothing is closed. From there on
// each newcomer costs the place of the oldest connection that has never
// brought a request to its answer, of the address that has most of those: an
// address that only fills places fills its own. At the limit the connection
// goes that has waited longest for its next request, which HTTP lets a server
// close at any time, and without one the newcomer.
type crowd struct {
	net.Listener
	limit int
	write time.Duration // for a client to take some of what is written; 0 or less means no limit
	log   *slog.Logger
	stop  <-chan struct{}

	mu      sync.Mutex
	all     int
	sources map[netip.Prefix]*source
	fresh   freshest
	idle    list.List // of *client, that wait for a request, the longest wait first
	closed  int       // by the limit, since the last line of the log
	said    time.Time
}

// freshFor is how old a connection without a request is before it costs its
// place while there are others: time for a handshake and the first request.
const freshFor = time.Second

// source is an address, and its connections whose first request has no answer
// yet.
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

// Push is heap.Interface's.
func (f *freshest) Push(x any) {
	s := x.(*source)
	s.at = len(*f)
	*f = append(*f, s)
}

// Pop is heap.Interface's.
func (f *freshest) Pop() any {
	last := len(*f) - 1
	s := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return s
}

// client is a connection of a client.
type client struct {
	net.Conn
	crowd *crowd
	from  *source
	begun time.Time
	fresh *list.Element // in from; nil once a request was answered
	idle  *list.Element // in crowd; nil while a request is under way
	gone  bool

	half     atomic.Bool     // its sending side has ended soon after a request
	unserved atomic.Bool     // a request has begun that the gateway has not seen; the server may refuse it
	unread   atomic.Bool     // it may still send a body that is not wanted
	spoilt   atomic.Bool     // what comes next is such a body, and no request
	standing context.Context // ends with the connection, or when a write fails
	fall     context.CancelFunc
}

// newCrowd makes the crowd of a listener; stop is closed when it is to be served
// no longer.
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
			out.forgive() // nothing of it is waited for
			out.Close()
		}
		if out != newcomer {
			return newcomer, nil
		}
	}
}

// enter gives a connection a place, and returns which one must go for it.
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

// surplus is the connection that a newcomer costs its place, if any.
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

// source is what is known of an address.
func (c *crowd) source(name netip.Prefix) *source {
	s := c.sources[name]
	if s == nil {
		s = &source{name: name}
		c.sources[name] = s
		heap.Push(&c.fresh, s)
	}
	return s
}

// sourceOf is the address that a connection counts for: of IPv6 the network,
// as one host has all of it.
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
	p, _ := addr.Prefix(bits) // the bits fit the address
	return p
}

// report says once a minute that connections were closed.
func (c *crowd) report(out *client) {
	c.closed++
	if now := time.Now(); now.Sub(c.said) >= time.Minute {
		c.log.Warn("connections of users closed, as there are almost as many as gateway.max_connections",
			"closed", c.closed, "connections", c.all, "limit", c.limit, "from", out.from.name.String())
		c.said, c.closed = now, 0
	}
}

// answered notes that the connection has brought a request to its answer.
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

// left notes that a source has one fresh connection less. A source without any
// is forgotten.
func (c *crowd) left(s *source) {
	if s.fresh.Len() > 0 {
		heap.Fix(&c.fresh, s.at)
		return
	}
	heap.Remove(&c.fresh, s.at)
	delete(c.sources, s.name)
}

// state follows what http.Server does with the connection.
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

// clientOf finds the connection below those that a server wraps around it.
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
