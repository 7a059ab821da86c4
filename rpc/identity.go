package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Site makes the TLS of site connections, by which the processes of a site
// speak to each other on the port that also takes users' calls.
// Package internal/sitetls implements it.
type Site interface {
	Server() *tls.Config             // for the side that accepts
	Client(owner string) *tls.Config // for the side that connects to a process; "" = any but this one
	Ring() any                       // a value that changes with the keys of the site
	Verify(
		tls.ConnectionState,
	) error // whether the other side of a standing connection still counts, by the keys of now
}

// Identity is what a process says of itself on new connections, and the keys
// that prove it. The zero value says nothing.
type Identity struct {
	Cluster string
	Owner   string          // host/pid/epoch; registry.Owner.String
	Keys    func() [][]byte // secrets of the site: the first signs, all verify; nil or none: nothing is proven
}

func (i Identity) keys() [][]byte {
	if i.Keys == nil {
		return nil
	}
	return i.Keys()
}

// ErrOther is wrapped by what a Watcher and the caller get when another
// process, or another version of the service, answers than the endpoint
// stands for. Nothing was executed.
var ErrOther = errors.New("another process than the listed one answers there")

// PeerInfo is what a server knows of the other end of a connection.
type PeerInfo struct {
	Addr        netip.AddrPort    // zero when it has none
	Owner       string            // its process (host/pid/epoch), proven by Site or Hello; "" = not proven
	Site        bool              // a site connection: the process has a certificate of the site, nothing is between
	Hello       bool              // a process of the site is at the other end; something may be between
	Member      bool              // it counts as a process of the site
	Certificate *x509.Certificate // of a client that ServerConfig.TLS has verified
}

// Outside reports whether the peer has not shown that it is of the site.
func (p *PeerInfo) outside() bool { return !p.Site && !p.Hello && !p.Member }

// addrOf is a connection's address; zero for other networks than IP.
func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

// sourceOf is what connections are counted by: an IPv4 address, or the network
// of an IPv6 address, as one host may use all of its 2^64 addresses.
func sourceOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// siteTrust is why the other side of a site connection is trusted. One
// goroutine uses it.
type siteTrust struct {
	site  Site
	state tls.ConnectionState
	ring  any
	known bool // ring is what state was last judged by
}

// holds looks again when the keys of the site have changed: a key that was
// taken out proves nothing any more.
func (t *siteTrust) holds() error {
	now := t.site.Ring()
	if t.known && now == t.ring {
		return nil
	}
	if err := t.site.Verify(t.state); err != nil {
		return fmt.Errorf("%w: %w", errTrust, err)
	}
	t.ring, t.known = now, true
	return nil
}
