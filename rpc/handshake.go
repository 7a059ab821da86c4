package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
)

const (
	shakePatience = 5 * time.Second // that a handshake may wait for the peer; the time until its turn does not count
	siteShake     = 8 << 10         // bytes that the other end of a site connection may send in its handshake
	userShake     = 64 << 10        // the same, of a user's client, whose certificate may come with a chain
)

var (
	errPlainPort = errors.New("this port speaks plain Thrift to users, and TLS only for site connections (" + sitetls.ALPN + "); call it without TLS, or give its process a certificate (tls.cert)")
	errLongShake = errors.New("the other end sends too much before the handshake is over")
	errSlowShake = fmt.Errorf("the other end has kept the handshake waiting for %v", shakePatience)
)

// handshake is TLS on a connection before it stands. Its processor time is
// bounded by turns: a turn is held while crypto/tls computes, and given back
// while the peer is waited for.
type handshake struct {
	nc    net.Conn
	first []byte        // came before TLS was known
	room  int           // bytes that may come
	came  int           // that have come
	left  time.Duration // that the peer may take

	turns *turns // nil: unbounded, as a client's own
	from  netip.Addr
	done  <-chan struct{} // closed with the connection
	held  bool
}

// read gives TLS what the peer sends.
func (h *handshake) read(p []byte) (int, error) {
	if h.came >= h.room {
		return 0, errLongShake
	}
	if len(h.first) > 0 {
		n := copy(p[:min(len(p), h.room-h.came)], h.first)
		h.first = h.first[n:]
		h.came += n
		return n, h.resume()
	}
	var n int
	err := h.wait(h.nc.SetReadDeadline, func() (err error) {
		n, err = h.nc.Read(p[:min(len(p), h.room-h.came)])
		return err
	})
	h.came += n
	return n, err
}

func (h *handshake) write(p []byte) (n int, err error) {
	err = h.wait(h.nc.SetWriteDeadline, func() (err error) {
		n, err = h.nc.Write(p)
		return err
	})
	return n, err
}

// wait does what depends on the peer, in the time that is left for it and
// outside of the turn.
func (h *handshake) wait(limit func(time.Time) error, do func() error) error {
	h.pause()
	begun := time.Now()
	if err := limit(begun.Add(h.left)); err != nil {
		return err
	}
	err := do()
	if h.left -= time.Since(begun); h.left <= 0 {
		return errSlowShake
	}
	if err != nil {
		return err
	}
	return h.resume()
}

func (h *handshake) pause() {
	if h.held {
		h.turns.give()
		h.held = false
	}
}

func (h *handshake) resume() error {
	if h.turns == nil || h.held {
		return nil
	}
	if !h.turns.take(h.from, h.done) {
		return net.ErrClosed
	}
	h.held = true
	return nil
}

// site bounds what the other end of a site connection sends.
func (h *handshake) site() { h.room = siteShake }

// over ends the handshake.
func (c *conduit) over() error {
	h := c.shake
	h.pause()
	c.shake = nil
	return errors.Join(h.nc.SetReadDeadline(time.Time{}), h.nc.SetWriteDeadline(time.Time{}))
}

// serverTLS is how a port speaks TLS: with users by their configuration, which
// may be nil, and with the processes of the site by theirs. It is nil where the
// port has neither.
func serverTLS(users *tls.Config, site Site) *tls.Config {
	if users == nil && site == nil {
		return nil
	}
	var members *tls.Config
	if site != nil {
		members = site.Server()
	}
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if members != nil && slices.Contains(hello.SupportedProtos, sitetls.ALPN) {
			if c, ok := hello.Conn.(*conduit); ok {
				c.shake.site()
			}
			return members, nil
		}
		if users == nil {
			return nil, errPlainPort
		}
		if users.GetConfigForClient != nil {
			if c, err := users.GetConfigForClient(hello); c != nil || err != nil {
				return c, err
			}
		}
		return users, nil
	}}
}

// isHello reports whether a connection begins with the record of a ClientHello.
// As the length of a frame it would be more than 350 MiB.
func isHello(first []byte) bool {
	return len(first) >= 3 && first[0] == 0x16 && first[1] == 3 && first[2] <= 4
}

// encrypt makes the handshake on a connection that has begun with first.
func (c *serverConn) encrypt(ctx context.Context, first []byte) error {
	room := userShake
	if c.s.cfg.TLS == nil {
		room = siteShake
	}
	h := &handshake{nc: c.wire, first: first, room: room, left: shakePatience, turns: &c.s.handshakes, from: c.source, done: c.done}
	below := &conduit{Conn: c.wire, shake: h}
	t := tls.Server(below, c.s.tls)
	err := t.HandshakeContext(ctx)
	if err == nil {
		err = below.over()
	} else {
		h.pause()
	}
	if err != nil {
		c.s.badHandshakes.Add(1)
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	info := *c.info.Load()
	switch cs := t.ConnectionState(); {
	case c.s.cfg.Site != nil && cs.NegotiatedProtocol == sitetls.ALPN:
		info.Site = true
		c.trust = &siteTrust{site: c.s.cfg.Site, state: cs}
		if info.Owner, err = sitetls.PeerOwner(cs); err == nil {
			err = c.trust.holds() // they may have changed since the handshake
		}
		if err != nil {
			return err
		}
	case len(cs.VerifiedChains) > 0:
		info.Certificate = cs.VerifiedChains[0][0]
	}
	c.setInfo(info)
	return c.begin(t)
}
