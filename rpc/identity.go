package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Site makes the TLS of site connections, which carry calls between the processes of a site on the
// port of users' calls. Package internal/sitetls implements it.
type Site interface {
	Server() *tls.Config             // for the side that accepts
	Client(owner string) *tls.Config // for the side that connects to a process; "" = any but this one
	Ring() any                       // a value that changes with the keys of the site
	// Verify returns an error when the present keys do not prove the other side of a standing
	// connection.
	Verify(tls.ConnectionState) error
}

// Identity is how a process identifies itself on new connections, and the keys that prove it. The
// zero value identifies nothing.
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

// ErrOther means that another process, or another version of the service, answers at the address of
// an endpoint. Errors for the Watcher and for the caller wrap it. Nothing was executed.
var ErrOther = errors.New("another process than the listed one answers there")

// PeerInfo describes the other end of a connection to a server.
type PeerInfo struct {
	Addr        netip.AddrPort    // zero when it has none
	Owner       string            // its process (host/pid/epoch), proven by Site or Hello; "" = not proven
	Site        bool              // a site connection: the process has a certificate of the site
	Hello       bool              // a process of the site is at the other end, perhaps behind a relay
	Member      bool              // it counts as a process of the site
	Certificate *x509.Certificate // of a client that ServerConfig.TLS has verified
}

// outside reports whether the peer has not shown that it is of the site.
func (p *PeerInfo) outside() bool { return !p.Site && !p.Hello && !p.Member }

// addrOf is a connection's address; zero for other networks than IP.
func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

// sourceOf returns the address by which connections are counted: an IPv4 address, or the /64
// network of an IPv6 address, because one host may use all of its 2^64 addresses.
func sourceOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// siteTrust checks whether the other side of a site connection is still trusted. One goroutine uses
// it.
type siteTrust struct {
	site  Site
	state tls.ConnectionState
	ring  any
	known bool // the keys of ring prove state
}

// holds returns nil while the present keys prove the other side. It checks again only after the keys
// of the site have changed, because a removed key proves nothing.
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
