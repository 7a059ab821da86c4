package rpc

import (
	"crypto/tls"
	"net"
	"sync"
)

// conduit is the wire below a TLS connection. Once a writer is attached, what
// TLS seals is gathered in memory and goes out as everything else does: many
// frames in one write, and nobody waits for a slow peer, whose half-written
// record would end the connection.
type conduit struct {
	net.Conn
	shake *handshake // nil: it is over, or nothing bounds it

	mu     sync.Mutex
	out    *writer // nil: write through, as the handshake does
	own    bool    // the writer is sealing
	sealed *[]byte // nil: nothing
}

// wireOf finds the conduit of a connection and what is below it; nil and nc
// itself without one.
func wireOf(nc net.Conn) (*conduit, net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		if c, ok := t.NetConn().(*conduit); ok {
			return c, c.Conn
		}
	}
	return nil, nc
}

// Read is what TLS reads by.
func (c *conduit) Read(p []byte) (int, error) {
	if c.shake != nil {
		return c.shake.read(p)
	}
	return c.Conn.Read(p)
}

// Write takes a sealed record.
func (c *conduit) Write(p []byte) (int, error) {
	c.mu.Lock()
	out, own := c.out, c.own
	if out != nil {
		if c.sealed == nil {
			c.sealed = writeBuffers.Get().(*[]byte)
		}
		*c.sealed = append(*c.sealed, p...)
	}
	c.mu.Unlock()
	switch {
	case out == nil && c.shake != nil:
		return c.shake.write(p)
	case out == nil:
		return c.Conn.Write(p)
	case !own: // TLS itself has something to say: new keys, or the end
		if !out.stray() && out.pending.Load() == 0 {
			c.farewell(p)
		}
	}
	return len(p), nil
}

// attach lets w write from now on.
func (c *conduit) attach(w *writer) {
	c.mu.Lock()
	c.out = w
	c.mu.Unlock()
}

// farewell tells the peer of the end if that takes no time.
func (c *conduit) farewell(p []byte) {
	if e := newEager(c.Conn); e != nil {
		_, _ = e.write(p)
	}
}

// seal returns plain as it goes out, with what TLS has to say; nil is nothing.
// Only the writer calls it.
func (c *conduit) seal(t net.Conn, plain *[]byte) (sealed *[]byte, err error) {
	c.mu.Lock()
	c.own = true
	c.mu.Unlock()
	if plain != nil {
		_, err = t.Write(*plain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sealed, c.own, c.sealed = c.sealed, false, nil
	return sealed, err
}
