package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
)

// A client notices a peer that has vanished within seconds even on an idle
// connection (wire.md); a server can take its time.
var (
	clientKeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}
	serverKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
)

const (
	clientUserTimeout = 3 * time.Second  // sent bytes may stay unacknowledged for so long
	serverUserTimeout = 30 * time.Second // the same
)

// dialNet connects to an endpoint, by TLS when it asks for it.
func (c *Client) dialNet(ctx context.Context, e *Endpoint) (net.Conn, error) {
	if e.Site {
		return c.dialSite(ctx, e)
	}
	conf := c.cfg.TLS
	if c.cfg.TLSNow != nil {
		conf = c.cfg.TLSNow()
	}
	if e.TLS && conf == nil {
		return nil, errors.New("the endpoint speaks TLS, and this client has no TLS configuration; name the authorities that it is to trust (tls.ca)")
	}
	if !e.TLS && conf != nil && c.cfg.RequireTLS {
		return nil, errors.New("the endpoint speaks no TLS, and this client calls nobody in the clear; give its process a certificate, or allow it (tls.providers: any)")
	}
	nc, err := c.dialTCP(ctx, e.Addr)
	if err != nil {
		return nil, err
	}
	// Asked now, when the connection stands, the announcer proves that it ran when
	// the connection was made.
	if c.cfg.Vouch != nil && e.Announcer != "" {
		if err := c.cfg.Vouch(ctx, e); err != nil {
			_ = nc.Close()
			return nil, err
		}
	}
	if !e.TLS {
		return nc, nil
	}
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(e.Addr)
		if err != nil {
			host = e.Addr
		}
		conf = conf.Clone()
		conf.ServerName = host
	}
	tc := tls.Client(&conduit{Conn: nc}, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", e.Addr, err)
	}
	return tc, nil
}

// dialSite makes a site connection to the endpoint's process.
func (c *Client) dialSite(ctx context.Context, e *Endpoint) (net.Conn, error) {
	if c.cfg.Site == nil {
		return nil, errors.New("it takes a site connection, and this process was given no key to make one")
	}
	nc, err := c.dialTCP(ctx, e.Addr)
	if err != nil {
		return nil, err
	}
	below := &conduit{Conn: nc, shake: &handshake{nc: nc, room: siteShake, left: max(shakePatience, c.cfg.ConnectTimeout)}}
	tc := tls.Client(below, c.cfg.Site.Client(e.Owner))
	if err = tc.HandshakeContext(ctx); err == nil {
		err = below.over()
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

func (c *Client) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx, addr)
	}
	d, begun := net.Dialer{KeepAliveConfig: clientKeepAlive, ControlContext: limitSegment}, time.Now()
	nc, err := persist(ctx, c.spawn, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) })
	if err != nil {
		return nil, err
	}
	stretch(ctx, time.Since(begun))
	setUserTimeout(nc, clientUserTimeout)
	return nc, nil
}

// A LAN connects within a millisecond. When the packet that asks for a
// connection is lost, the kernel repeats it after a second: too late for
// ClientConfig.ConnectTimeout. So another attempt is begun beside the first
// after this time, and a third one after twice as much.
const (
	dialPatience = 100 * time.Millisecond
	dialAttempts = 3
)

// persist returns the first attempt that ends, be it by a connection or by an
// answer that there is none. What the others come to is closed.
func persist(ctx context.Context, spawn func(func()) bool, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, over := context.WithCancel(ctx)
	defer over()
	type result struct {
		nc  net.Conn
		err error
	}
	results := make(chan result)
	attempt := func() {
		nc, err := dial(ctx)
		select {
		case results <- result{nc, err}:
		case <-ctx.Done():
			if err == nil {
				_ = nc.Close()
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for begun := 0; ; {
		select {
		case r := <-results:
			return r.nc, r.err
		case <-ctx.Done():
			return nil, fmt.Errorf("dial tcp: %w", ctx.Err())
		case <-next.C:
			if !spawn(attempt) {
				return nil, errClientClosed
			}
			if begun++; begun < dialAttempts {
				next.Reset(time.Duration(begun) * dialPatience)
			}
		}
	}
}

// tuneAccepted sets a server's socket options.
func tuneAccepted(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetKeepAliveConfig(serverKeepAlive)
		setUserTimeout(tc, serverUserTimeout)
	}
}
