package rpc

import (
	"net/netip"
	"strings"
	"sync"
)

const (
	unnamed = "?" // stands for an invalid name, and for names beyond the limits

	maxName           = 63   // bytes, as in registry.CheckName
	maxCallersOfOne   = 64   // names of callers at one address
	maxCallersUnknown = 1024 // names of callers at all addresses together
)

// validName is registry.CheckName.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-' && c != '_') {
			return false
		}
	}
	return true
}

// callers bounds the names of callers in statistics, because any caller can claim any name. It
// counts the names of each address while a connection from there stands. Members of the site, and
// names of listed services, do not count. It is safe for concurrent use.
type callers struct {
	listed func(service string) bool // nil: none

	mu    sync.Mutex
	at    map[string]*callersAt // by address
	names int                   // of all
}

// callersAt are the callers at one address.
type callersAt struct {
	conns map[*serverConn]struct{}
	names map[string]string
}

// name returns the name under which a call of caller is counted, in memory of its own.
func (t *callers) name(c *serverConn, caller string) string {
	switch {
	case !validName(caller):
		return unnamed
	case c.member(), t.listed != nil && t.listed(caller):
		return strings.Clone(caller)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.at[c.addr]
	if at == nil {
		at = &callersAt{conns: map[*serverConn]struct{}{}, names: map[string]string{}}
	}
	name, known := at.names[caller]
	switch {
	case known:
	case c.forgotten, len(at.names) >= maxCallersOfOne, t.names >= maxCallersUnknown:
		return unnamed
	default:
		name = strings.Clone(caller)
		at.names[name] = name
		t.names++
		if t.at == nil {
			t.at = map[string]*callersAt{}
		}
		t.at[c.addr] = at
	}
	at.conns[c] = struct{}{}
	return name
}

// forget drops a closed connection. With the last connection of an address it drops its names.
func (t *callers) forget(c *serverConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.forgotten = true
	at := t.at[c.addr]
	if at == nil {
		return
	}
	if delete(at.conns, c); len(at.conns) == 0 {
		t.names -= len(at.names)
		delete(t.at, c.addr)
	}
}

// addressOf returns the part of host:port that stands for one host. Of an IPv6 address it keeps the
// first 64 bits, because one host may use all addresses that begin with them.
func addressOf(peer string) string {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return peer
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() && !ip.IsLoopback() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// member reports whether the peer has proved that it is a member of the site.
func (c *serverConn) member() bool {
	p := c.info.Load()
	return p != nil && !p.outside()
}
