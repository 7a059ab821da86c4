package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/connlimit"
)

// crowd is the listener for clients, with a limited number of connections: package connlimit
// chooses those that close for new ones.
type crowd struct {
	net.Listener
	places *connlimit.Limiter[*client]
	limit  int
	write  time.Duration // for a client to read some of the written bytes; 0 or less means no limit
	log    *slog.Logger
	stop   <-chan struct{}

	mu     sync.Mutex
	closed int // by the limit, since the last line of the log
	said   time.Time
}

// client is the connection of one client.
type client struct {
	net.Conn
	crowd *crowd
	place *connlimit.Place[*client]

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
		places:   connlimit.New[*client](cfg.MaxConnections, 0),
		limit:    cfg.MaxConnections,
		write:    cfg.BodyIdle,
		log:      cfg.Logger,
		stop:     stop,
	}
}

// Accept returns the next connection that has a place.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		newcomer := &client{Conn: conn, crowd: c}
		newcomer.standing, newcomer.fall = context.WithCancel(context.Background())
		place, out := c.places.Enter(conn.RemoteAddr(), newcomer)
		newcomer.place = place
		if out != nil {
			c.report(out)
			out.Conn.forgive() // the gateway does not wait for further bytes of it
			out.Conn.Close()
		}
		if out != place {
			return newcomer, nil
		}
	}
}

// report logs once a minute that connections were closed.
func (c *crowd) report(out *connlimit.Place[*client]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	if now := time.Now(); now.Sub(c.said) >= time.Minute {
		c.log.Warn("connections of users closed, as there are almost as many as gateway.max_connections",
			"closed", c.closed, "connections", c.places.Open(), "limit", c.limit, "from", out.From().String())
		c.said, c.closed = now, 0
	}
}

// state follows the states that http.Server reports for the connection.
func (c *client) state(s http.ConnState) {
	switch s {
	case http.StateActive:
		c.unserved.Store(true)
	case http.StateIdle:
		c.unserved.Store(false)
		c.spoilt.Store(c.unread.Load())
	}
	c.place.Waits(s == http.StateIdle)
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
		c.place.Answered()
	}
}
