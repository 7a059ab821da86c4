//go:build linux

package attack

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// relay forwards the connections of a listener to an address.
func (l laptop) relay(t *testing.T, ln net.Listener, to string) {
	t.Helper()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				far, err := l.dial(context.Background(), to)
				if err != nil {
					return
				}
				defer far.Close()
				go func() { _, _ = io.Copy(far, nc); _ = far.Close() }()
				_, _ = io.Copy(nc, far)
			}()
		}
	}()
}

// relayed: a site connection through a laptop reaches only the intended process, unread. One that
// the laptop reflects to its sender does not stand.
func relayed(t *testing.T, s *site) {
	meant := s.member(t).site(t)
	other := s.laptop().listen(t, "10.77.0.3:0")
	s.laptop().relay(t, other, s.addr("consumer"))
	nc, err := s.laptop().dial(t.Context(), other.Addr().String())
	must(t, err)
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if err := tls.Client(nc, meant.Client(s.provider.owner())).HandshakeContext(t.Context()); err == nil {
		t.Error("a connection that was led to another process stands")
	}
	// A process's bytes, reflected, carry its own name.
	mirror := s.member(t)
	mirror.owner = s.provider.owner()
	blind := mirror.site(t).Client("")
	blind.VerifyConnection = nil // the client itself would refuse
	for tries := 0; tries < 5 && s.provider.saying("connection closed", "own") == 0; tries++ {
		time.Sleep(1100 * time.Millisecond) // one closed connection a second is logged
		back, err := s.laptop().dial(t.Context(), s.addr("provider"))
		must(t, err)
		_ = back.SetDeadline(time.Now().Add(20 * time.Second))
		conn := tls.Client(back, blind)
		err = conn.HandshakeContext(t.Context())
		if err == nil { // TLS 1.3: the server's refusal comes with the first byte
			_, err = conn.Read(make([]byte, 1))
		}
		if ne, ok := err.(net.Error); err == nil || ok && ne.Timeout() {
			t.Errorf("a connection in the process's own name stands: %v", err)
		}
		_ = back.Close()
	}
	s.provider.says(t, 60, "connection closed", "own", s.lan.Host(laptopHost).IP(0))
}

// otherCluster has the key of this site, and claims another cluster.
func otherCluster(t *testing.T, s *site) {
	i := s.member(t)
	for what, change := range map[string]func(){"another name": func() { i.cluster = "another" }} {
		change()
		if _, err := i.internal(t, s.addr("provider")).Members(t.Context()); err == nil {
			t.Errorf("%s: a process of another cluster is a member", what)
		}
	}
	s.provider.says(t, 60, "connection closed", s.lan.Host(laptopHost).IP(0))
}
