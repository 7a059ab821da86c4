package rpc

import (
	"context"
	"fmt"
	"net"

	"github.com/skerry/skerry/rpc/internal/transport"
)

// Try notes that an attempt of the call goes to e: Tried knows it from then
// on, and balancers count it as pending until done is called. The client's own
// calls do so by themselves; this is for callers that speak another protocol
// to the endpoints that a Picker gives them.
func (c *Call) Try(e *Endpoint) (done func()) {
	c.tried = append(c.tried, e)
	e.pending.Add(1)
	return func() { e.pending.Add(-1) }
}

// Dial makes a connection to an endpoint for a caller that speaks another
// protocol: with TLS when the endpoint has it, within ConnectTimeout. The
// watcher is told what comes of it; the connection is the caller's.
func (c *Client) Dial(ctx context.Context, e *Endpoint) (net.Conn, error) {
	limited, cancel := transport.WithOpenDeadline(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	nc, err := c.dialNet(limited, e)
	switch {
	case err == nil:
		c.watch.Up(e)
		return nc, nil
	case ctx.Err() == nil: // otherwise the caller had no time
		c.watch.Down(e, true, err)
	}
	return nil, fmt.Errorf("connect to %s: %w", e.Addr, err)
}
