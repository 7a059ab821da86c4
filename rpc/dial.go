package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// dialNet connects to an endpoint, with TLS when the endpoint has it.
func (c *Client) dialNet(ctx context.Context, e *Endpoint) (net.Conn, error) {
	if e.Site {
		return c.dialSite(ctx, e)
	}
	conf := c.cfg.TLS
	if c.cfg.TLSNow != nil {
		conf = c.cfg.TLSNow()
	}
	switch {
	case e.TLS && conf == nil:
		return nil, errNoTLSConfig
	case !e.TLS && conf != nil && c.cfg.RequireTLS:
		return nil, errNoTLSThere
	}
	nc, err := c.dialTCP(ctx, c.reach(e))
	if err != nil {
		return nil, err
	}
	// The connection stands, so the announcer's answer now proves that it ran when the connection
	// was made.
	if c.cfg.Vouch != nil && e.Announcer != "" {
		err = c.cfg.Vouch(ctx, e)
	}
	if err == nil && e.TLS {
		nc, err = dialTLS(ctx, nc, e.Addr, conf)
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nil
}

var (
	errNoTLSConfig = errors.New("the endpoint speaks TLS, and this client has no TLS configuration; " +
		"name the authorities that it is to trust (tls.ca)")
	errNoTLSThere = errors.New("the endpoint speaks no TLS, and this client makes no calls in the clear; " +
		"give its process a certificate, or allow it (tls.providers: any)")
)

// dialTLS makes the TLS handshake on nc, a connection to addr. With an error it returns nc itself,
// which the caller closes.
func dialTLS(ctx context.Context, nc net.Conn, addr string, conf *tls.Config) (net.Conn, error) {
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		conf = conf.Clone()
		conf.ServerName = host
	}
	tc := tls.Client(&transport.TLSBuffer{Conn: nc}, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nc, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return tc, nil
}

// dialSite makes a site connection to the endpoint's process.
func (c *Client) dialSite(ctx context.Context, e *Endpoint) (net.Conn, error) {
	if c.cfg.Site == nil {
		return nil, errors.New("it takes a site connection, and this process has no site key to make one " +
			"(\"skerry key set\" on this host)")
	}
	nc, err := c.dialTCP(ctx, c.reach(e))
	if err != nil {
		return nil, err
	}
	below := &transport.TLSBuffer{
		Conn: nc,
		Handshake: &transport.Handshake{
			Conn: nc,
			Room: siteShake,
			Left: max(transport.HandshakePatience, c.cfg.ConnectTimeout),
		},
	}
	tc := tls.Client(below, c.cfg.Site.Client(e.Owner))
	if err = tc.HandshakeContext(ctx); err == nil {
		err = below.FinishHandshake()
	}
	if err == nil && tc.ConnectionState().NegotiatedProtocol != sitetls.ALPN {
		err = errors.New("the other end speaks TLS, but no site connections")
	}
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("site connection with %s: %w", e.Addr, err)
	}
	return tc, nil
}

// reach returns the address by which this host connects to the endpoint.
func (c *Client) reach(e *Endpoint) string {
	if c.cfg.Reach == nil {
		return e.Addr
	}
	return c.cfg.Reach(e)
}

func (c *Client) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx, addr)
	}
	return transport.DialTCP(ctx, addr, c.spawn)
}
