package postgres

import (
	"context"
	"net"
	"sync"
	"time"
)

// dialer opens connections with keep-alives, and remembers them so that the
// end of Run need not wait for a database that no longer answers.
type dialer struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

type conn struct {
	net.Conn
	d *dialer
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nd := net.Dialer{
		Timeout:         connectTime, // a server may be slow, a kernel is not
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         limitUnacked,
	}
	c, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	wrapped := &conn{Conn: c, d: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[*conn]struct{}{}
	}
	d.open[wrapped] = struct{}{}
	return wrapped, nil
}

// Close closes and forgets the connection.
func (c *conn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// cut ends every connection at once.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		_ = c.Conn.Close() // its user sees the error
	}
}
