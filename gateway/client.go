package gateway

import (
	"errors"
	"io"
	"os"
	"time"
)

// halfClose is how soon after a request a client may close its sending side and still wait for the
// answer: the client has sent its whole request. A client that is gone looks the same until the
// gateway writes to it. A client that closes its sending side later has given up.
const halfClose = 5 * time.Second

// Limits for bytes that a client still sends after its answer. The gateway reads and drops them, so
// that the client can read the answer: after an early close the client's system would report an
// error instead. The gateway closes the connection of a client that sends for longer.
const (
	lingerBytes = 64 << 20
	lingerTime  = 30 * time.Second
	lingerIdle  = restLimit              // without a byte
	lingerStep  = 250 * time.Millisecond // between two checks whether the gateway stops
)

// Read notes how the client's sending side ends.
func (c *client) Read(p []byte) (int, error) {
	if c.spoilt.Load() {
		return 0, io.EOF
	}
	begun := time.Now()
	n, err := c.Conn.Read(p)
	if n == 0 && err != nil {
		c.half.Store(err == io.EOF && time.Since(begun) < halfClose)
	}
	return n, err
}

// Write writes while the client reads some bytes now and then.
func (c *client) Write(p []byte) (n int, err error) {
	defer func() {
		if err != nil {
			c.fall()
		}
	}()
	if c.crowd.write <= 0 {
		return c.Conn.Write(p)
	}
	for {
		if err = c.Conn.SetWriteDeadline(time.Now().Add(c.crowd.write)); err != nil {
			return n, err
		}
		var more int
		more, err = c.Conn.Write(p[n:])
		n += more
		if more == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// CloseWrite closes the sending half, where the connection has halves, and drops the bytes that
// still arrive. The server calls it behind an answer to a request that it has not read.
func (c *client) CloseWrite() error {
	err := c.shut()
	c.forgive()
	c.linger()
	return err
}

// forgive clears the marks that further bytes are to be dropped, and reports whether a mark was
// set.
func (c *client) forgive() (unwanted bool) {
	unread, unserved := c.unread.Swap(false), c.unserved.Swap(false)
	return unread || unserved
}

func (c *client) shut() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and frees its place.
func (c *client) Close() error {
	if c.forgive() && c.shut() == nil { // by TLS, which does not call CloseWrite at its end; or the body has stopped
		c.linger()
	}
	c.fall()
	c.place.Leave()
	return c.Conn.Close()
}

// linger reads and drops the client's bytes until the client closes.
func (c *client) linger() {
	piece := make([]byte, 4<<10)
	begun := time.Now()
	heard := begun
	for left := lingerBytes; left > 0; {
		select {
		case <-c.crowd.stop:
			return
		default:
		}
		now := time.Now()
		if now.Sub(begun) >= lingerTime || now.Sub(heard) >= lingerIdle ||
			c.Conn.SetReadDeadline(now.Add(lingerStep)) != nil {
			return
		}
		n, err := c.Conn.Read(piece)
		if left -= n; n > 0 {
			heard = time.Now()
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}
