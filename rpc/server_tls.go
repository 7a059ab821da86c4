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
	siteShake = 8 << 10  // of a site connection
	userShake = 64 << 10 // of a user's client; its certificate may come with a chain
)

var errPlainPort = errors.New(
	"this port speaks plain Thrift to users, and TLS only for site connections (" + sitetls.ALPN +
		"); call it without TLS, or give its process a certificate (tls.cert)",
)

// serverTLS is the TLS configuration of a port: the users' one, which may be nil, for users, and
// the site's for processes of the site. It is nil when the port has neither.
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

// encrypt makes the handshake on a connection that has begun with first.
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
