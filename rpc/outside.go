package rpc

import (
	"context"
	"fmt"
	"net"

	"github.com/skerry/skerry/rpc/internal/transport"
)

// Try records that an attempt of the call goes to e. Tried then reports it, and balancers count it
// as pending until done is called. The client's own calls do this themselves. Try is for callers
// that use another protocol with the endpoints of a Picker.
func (c *Call) Try(e *Endpoint) (done func()) {
	c.tried = append(c.tried, e)
	e.pending.Add(1)
	return func() { e.pending.Add(-1) }
}

// Dial makes a connection to an endpoint for a caller with another protocol: with TLS when the
// endpoint has it, within ConnectTimeout. The watcher receives the result. The caller owns the
// connection.
func (c *Client) Dial(ctx context.Context, e *Endpoint) (net.Conn, error) {
	limited, cancel := transport.WithOpenDeadline(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	nc, err := c.dialNet(limited, e)
	switch {
	case err == nil:
		c.watch.Up(e)
		return nc, nil
	case ctx.Err() == nil: // otherwise the caller's time was over
		c.watch.Down(e, true, err)
	}
	return nil, fmt.Errorf("connect to %s: %w", e.Addr, err)
}
