package transport

import (
	"crypto/tls"
	"net"
	"sync"
)

// TLSBuffer is the connection below a TLS connection. Once a Writer is attached, sealed records
// gather in memory, and the Writer writes many of them at once. So no caller waits for a slow peer,
// and no deadline cuts a record in half, which would end the connection.
type TLSBuffer struct {
	net.Conn
	Handshake *Handshake // nil: it is over, or unbounded

	mu      sync.Mutex
	writer  *Writer // nil: write through, as during the handshake
	sealing bool    // the Writer is sealing
	sealed  *[]byte // nil: none
}

// unwrapTLS returns the TLSBuffer of a connection and the connection below it; without one, nil and
// nc.
func unwrapTLS(nc net.Conn) (*TLSBuffer, net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		if c, ok := t.NetConn().(*TLSBuffer); ok {
			return c, c.Conn
		}
	}
	return nil, nc
}

// Read is called by crypto/tls.
func (c *TLSBuffer) Read(p []byte) (int, error) {
	if c.Handshake != nil {
		return c.Handshake.read(p)
	}
	return c.Conn.Read(p)
}

// Write is called by crypto/tls with a sealed record.
func (c *TLSBuffer) Write(p []byte) (int, error) {
	c.mu.Lock()
	out, own := c.writer, c.sealing
	if out != nil {
		if c.sealed == nil {
			c.sealed = writeBuffers.Get().(*[]byte)
		}
		*c.sealed = append(*c.sealed, p...)
	}
	c.mu.Unlock()
	switch {
	case out == nil && c.Handshake != nil:
		return c.Handshake.write(p)
	case out == nil:
		return c.Conn.Write(p)
	case !own: // TLS sends a record of its own: new keys, or the alert that ends the connection
		if !out.queueTLS() && out.pending.Load() == 0 {
			c.writeAlert(p)
		}
	}
	return len(p), nil
}

// attach lets w write from now on.
func (c *TLSBuffer) attach(w *Writer) {
	c.mu.Lock()
	c.writer = w
	c.mu.Unlock()
}

// writeAlert sends the final alert if that needs no waiting.
func (c *TLSBuffer) writeAlert(p []byte) {
	if e := newTryWriter(c.Conn); e != nil {
		_, _ = e.write(p)
	}
}

// seal encrypts plain, if there is any, and returns the sealed records with those that TLS itself has
// written; nil: there are none. Only the Writer calls it.
func (c *TLSBuffer) seal(t net.Conn, plain *[]byte) (sealed *[]byte, err error) {
	c.mu.Lock()
	c.sealing = true
	c.mu.Unlock()
	if plain != nil {
		_, err = t.Write(*plain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sealed, c.sealing, c.sealed = c.sealed, false, nil
	return sealed, err
}
