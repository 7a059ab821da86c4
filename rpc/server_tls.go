package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// Bytes that the other end may send in a TLS handshake.
const (
	siteShake = 8 << 10  // for a site connection
	userShake = 64 << 10 // for a client of a user; its certificate may come with a chain
)

var errPlainPort = errors.New(
	"this port speaks plain Thrift to users, and TLS only for site connections (" + sitetls.ALPN +
		"); call it without TLS, or give its process a certificate (tls.cert)",
)

// serverTLS returns the TLS configuration of a port. Each ClientHello chooses: those of the site get
// the site's configuration, all others that of users, which may be nil. The result is nil when the
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
			if c, ok := hello.Conn.(*transport.TLSBuffer); ok {
				c.Handshake.Room = siteShake
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

// encrypt makes the TLS handshake on a connection. first are bytes that were read from it already.
func (c *serverConn) encrypt(ctx context.Context, first []byte) error {
	room := userShake
	if c.s.cfg.TLS == nil {
		room = siteShake
	}
	h := &transport.Handshake{
		Conn:  c.wire,
		First: first,
		Room:  room,
		Left:  transport.HandshakePatience,
		Turns: c.s.handshakes,
		From:  c.source,
		Done:  c.done,
	}
	below := &transport.TLSBuffer{Conn: c.wire, Handshake: h}
	t := tls.Server(below, c.s.tls)
	err := t.HandshakeContext(ctx)
	if err == nil {
		err = below.FinishHandshake()
	} else {
		h.Pause()
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
			err = c.trust.holds() // the keys may have changed since the handshake
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
