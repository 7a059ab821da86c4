package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
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
	if e.TLS && c.cfg.TLS == nil {
		return nil, errors.New("the endpoint speaks TLS, and this client has no TLS configuration; name the authorities that it is to trust (tls.ca)")
	}
	nc, err := c.dialTCP(ctx, e.Addr)
	if err != nil || !e.TLS {
		return nc, err
	}
	conf := c.cfg.TLS
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(e.Addr)
		if err != nil {
			host = e.Addr
		}
		conf = conf.Clone()
		conf.ServerName = host
	}
	tc := tls.Client(nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", e.Addr, err)
	}
	return tc, nil
}

func (c *Client) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx, addr)
	}
	d := net.Dialer{KeepAliveConfig: clientKeepAlive}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		setUserTimeout(nc, clientUserTimeout)
	}
	return nc, err
}

// tuneAccepted sets a server's socket options.
func tuneAccepted(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetKeepAliveConfig(serverKeepAlive)
		setUserTimeout(tc, serverUserTimeout)
	}
}
