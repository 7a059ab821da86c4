package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/transport"
)

const (
	ownerA = "host-a/1/a"
	ownerB = "host-b/2/b"
	ownerC = "host-c/3/c"
)

// keysOf returns a ring of the site's keys, derived for one use.
func keysOf(keys ...byte) func() [][]byte {
	var ring [][]byte
	for _, k := range keys {
		ring = append(ring, bytes.Repeat([]byte{k}, 32))
	}
	return func() [][]byte { return ring }
}

func siteOf(t testing.TB, owner string, keys ...byte) Site {
	t.Helper()
	s, err := sitetls.New(sitetls.Config{Cluster: "x", Owner: owner, Seeds: keysOf(keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identityOf(owner string, keys ...byte) Identity {
	return Identity{Cluster: "x", Owner: owner, Keys: keysOf(keys...)}
}

// guarded is a server of process B with the service "skerry.test", which has one method that is
// open to all.
func guarded(t *testing.T, cfg ServerConfig, h *handler) *testServer {
	t.Helper()
	s := serve(t, cfg, h)
	if _, err := s.HandleInternal("skerry.test", "", echo.NewEchoProcessor(h), "who"); err != nil {
		t.Fatal(err)
	}
	return s
}

func internalStub(c *Client, e *Endpoint) *echo.EchoClient {
	return echo.NewEchoClient(c.At("skerry.test", e))
}

// The methods of an internal service that a peer may call, by its kind of connection.
func TestInternalServiceIsForMembers(t *testing.T) {
	ca, pool := authority(t)
	cert := tls.Certificate{}
	users := func() *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{cert},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    pool,
		}
	}
	cert = ca(t, "127.0.0.1")
	usersClient := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{ca(t, "client")}}
	all := func(PeerInfo) error { return nil }
	verified := func(p PeerInfo) error {
		if p.Certificate == nil {
			return errors.New("certificate missing")
		}
		return nil
	}
	for _, test := range []struct {
		name   string
		server ServerConfig
		client ClientConfig
		ep     *Endpoint
		open   bool // the open method answers
		ok     bool // the other methods answer
		owner  string
		says   string // in the error
	}{
		{name: "plain", ep: &Endpoint{}, open: true, says: "skerry key set"},
		{name: "plain, with hello", client: ClientConfig{Identity: identityOf(ownerA, 1)}, open: true, owner: ownerA},
		{name: "site connection", ep: &Endpoint{Site: true}, open: true, ok: true, owner: ownerA},
		{name: "site connection to the process that is meant", ep: &Endpoint{Site: true, Owner: ownerB}, open: true,
			ok: true, owner: ownerA},
		{name: "site connection to another process", ep: &Endpoint{Site: true, Owner: ownerC},
			says: "meant is " + ownerC},
		{name: "site connection by another key", client: ClientConfig{Site: siteOf(t, ownerA, 2)},
			ep: &Endpoint{Site: true}, says: "none of the 1 site keys"},
		{name: "site connection by a key that only the caller knows too",
			client: ClientConfig{Site: siteOf(t, ownerA, 2, 1)}, ep: &Endpoint{Site: true}, says: "same site key"},
		{name: "site connection to itself", client: ClientConfig{Site: siteOf(t, ownerB, 1)},
			ep: &Endpoint{Site: true}},
		{name: "users' TLS", server: ServerConfig{TLS: users()}, client: ClientConfig{TLS: usersClient},
			ep: &Endpoint{TLS: true}, open: true},
		{name: "site connection on a port with TLS", server: ServerConfig{TLS: users()}, ep: &Endpoint{Site: true},
			open: true, ok: true, owner: ownerA},
		{name: "certificates prove membership", server: ServerConfig{TLS: users(), Member: verified},
			client: ClientConfig{TLS: usersClient},
			ep:     &Endpoint{TLS: true}, open: true, ok: true},
		{name: "every peer is a member", server: ServerConfig{Member: all}, open: true, ok: true},
		{name: "certificates prove it, and there is none", server: ServerConfig{Member: verified}, open: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen atomic.Pointer[PeerInfo]
			log := &quietLog{}
			h := &handler{name: "b", seen: func(ctx context.Context) { p := CallInfoFrom(ctx).From(); seen.Store(&p) }}
			test.server.Site, test.server.Identity = siteOf(t, ownerB, 1), identityOf(ownerB, 1)
			test.server.Logger = slog.New(slog.NewTextHandler(log, nil))
			s := guarded(t, test.server, h)
			if test.ep == nil {
				test.ep = &Endpoint{}
			}
			if test.client.Site == nil {
				test.client.Site = siteOf(t, ownerA, 1)
			}
			test.ep.ID, test.ep.Addr = "b", s.addr
			c := client(t, test.client, test.ep)
			_, err := internalStub(c, test.ep).Who(t.Context())
			if (err == nil) != test.open {
				t.Errorf("the open method: %v", err)
			}
			if !test.open {
				if e := wantCode(t, err, Unreachable, NotExecuted); !strings.Contains(e.Error(), test.says) {
					t.Errorf("got %v, want %q", err, test.says)
				}
				return
			}
			p := seen.Load()
			if p.Owner != test.owner || p.Site != test.ep.Site || p.Hello != (test.owner != "" && !test.ep.Site) ||
				!p.Addr.IsValid() {
				t.Errorf("the server knows %+v", *p)
			}
			before := h.calls.Load()
			_, err = internalStub(c, test.ep).Echo(t.Context(), message(1))
			if (err == nil) != test.ok || (h.calls.Load() > before) != test.ok {
				t.Errorf("another method: %v", err)
			}
			if !test.ok {
				if e := wantCode(t, err, NotMember, NotExecuted); !strings.Contains(e.Error(), test.says) {
					t.Errorf("got %v, want %q", err, test.says)
				}
				if n := s.Stats().Outsiders; n != 1 || !strings.Contains(log.String(), "members of the site") {
					t.Errorf("%d refusals counted; logged:\n%s", n, log)
				}
			}
		})
	}
}

// Users' calls continue beside site connections, on the same port.
func TestUsersBesideSiteConnections(t *testing.T) {
	s := serve(t, ServerConfig{Site: siteOf(t, ownerB, 1)}, &handler{name: "b"})
	sealed := s.endpoint()
	sealed.Site = true
	for name, e := range map[string]*Endpoint{"plain": s.endpoint(), "sealed": sealed} {
		call := stub(
			t,
			client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e),
			ServiceOptions{Timeout: 20 * time.Second},
		)
		if who, err := call().Who(t.Context()); err != nil || who != "b" {
			t.Errorf("%s: %q, %v", name, who, err)
		}
		big := message(2)
		big.Text = strings.Repeat("x", 3<<20)
		if back, err := call().Echo(t.Context(), big); err != nil || back.Text != big.Text {
			t.Errorf("%s: a large message: %v", name, err)
		}
	}
	if n := s.Stats().Members; n != 1 {
		t.Errorf("%d connections of members, want 1", n)
	}
}

// A ClientHello of a program outside the site is refused on a plain port, counted and logged.
func TestTLSOnAPlainPort(t *testing.T) {
	log := &quietLog{}
	s := serve(t, ServerConfig{Site: siteOf(t, ownerB, 1), Logger: slog.New(slog.NewTextHandler(log, nil))}, &handler{})
	_, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		t.Error("a handshake without the site's protocol succeeds")
	}
	eventually(t, "the refusal is counted", func() bool { return s.Stats().BadShakes == 1 })
	eventually(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), sitetls.ALPN) })
}

// Before the handshake is over, little is read.
func TestLongHandshake(t *testing.T) {
	log := &quietLog{}
	s := serve(t, ServerConfig{Site: siteOf(t, ownerB, 1), Logger: slog.New(slog.NewTextHandler(log, nil))}, &handler{})
	hello := append([]byte{0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb}, make([]byte, 16<<10)...)
	nc := send(t, s.addr, hello)
	wantClosed(t, nc)
	eventually(t, "it is counted", func() bool { return s.Stats().BadShakes == 1 })
	eventually(
		t,
		"it is said",
		func() bool { return strings.Contains(log.String(), transport.ErrLongHandshake.Error()) },
	)
}

// The first bytes of a connection that is not plain may be any.
func FuzzFirstBytes(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	f.Add([]byte("\x16\x03\x03\x00\x00"))
	f.Add([]byte("\x16\x03\x01\x00\x80\x01\x00\x01"))
	s, err := NewServer(ServerConfig{Logger: slog.New(slog.DiscardHandler), Site: siteOf(f, ownerB, 1)})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&handler{})); err != nil {
		f.Fatal(err)
	}
	l := newMemoryListener()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := l.dial(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(20 * time.Millisecond))
		go func() { _, _ = nc.Write(b); _ = nc.Close() }()
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
	})
}

// A stranger's trace is marked as such; a member's is not.
func TestTracesFromOutside(t *testing.T) {
	for name, test := range map[string]struct {
		client  Identity
		member  func(PeerInfo) error
		outside bool
	}{
		"without a key": {outside: true},
		"a member":      {client: identityOf(ownerA, 1)},
		"all are":       {member: func(PeerInfo) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			agent, err := participant.New(participant.Config{Process: "b"})
			if err != nil {
				t.Fatal(err)
			}
			var from, peer string
			h := &handler{
				seen: func(ctx context.Context) {
					from, peer = participant.TraceFrom(ctx).Outside(),
						CallInfoFrom(ctx).Peer
				},
			}
			s := serve(t, ServerConfig{Identity: identityOf(ownerB, 1), Rollout: agent, Member: test.member}, h)
			caller, err := participant.New(participant.Config{Process: "a"})
			if err != nil {
				t.Fatal(err)
			}
			call := stub(
				t,
				client(t, ClientConfig{Identity: test.client, Rollout: caller}, s.endpoint()),
				ServiceOptions{},
			)
			if _, err := call().Who(t.Context()); err != nil {
				t.Fatal(err)
			}
			if (from != "") != test.outside || test.outside && from != peer {
				t.Errorf("the trace came from %q outside, the call from %s", from, peer)
			}
		})
	}
}

// Connections that only a removed key proves end on both sides.
func TestKeysThatAreTakenOut(t *testing.T) {
	var server, caller atomic.Pointer[[][]byte]
	set := func(p *atomic.Pointer[[][]byte], keys ...byte) { ring := keysOf(keys...)(); p.Store(&ring) }
	site := func(owner string, ring *atomic.Pointer[[][]byte]) Site {
		s, err := sitetls.New(
			sitetls.Config{Cluster: "x", Owner: owner, Seeds: func() [][]byte { return *ring.Load() }},
		)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	set(&server, 1)
	set(&caller, 1)
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		h := &handler{}
		s := serveOn(t, ServerConfig{Site: site(ownerB, &server)}, h, l)
		e := &Endpoint{ID: "b", Service: "echo", Addr: "b:1", Site: true}
		c := client(t, ClientConfig{Site: site(ownerA, &caller), Dial: l.dial}, e)
		call := func() error { _, err := stub(t, c, ServiceOptions{Retries: new(int)})().Who(t.Context()); return err }
		if err := call(); err != nil {
			t.Fatal(err)
		}
		set(&server, 1, 2)
		set(&caller, 1, 2)
		time.Sleep(2 * trustCheckEvery)
		if err := call(); err != nil || s.Stats().Accepted != 1 {
			t.Errorf("a key was added: %v, %d connections were made", err, s.Stats().Accepted)
		}
		set(&server, 2)
		time.Sleep(2 * trustCheckEvery)
		if err := call(); err == nil || h.calls.Load() != 2 {
			t.Errorf("the server has taken the key out: %v, %d calls", err, h.calls.Load())
		}
		set(&caller, 2)
		time.Sleep(time.Second)
		if err := call(); err != nil {
			t.Errorf("both have: %v", err)
		}
		set(&caller, 3)
		time.Sleep(2 * trustCheckEvery)
		if n := s.Stats().Members; n != 0 {
			t.Errorf("the client keeps %d connections to a process that holds no key of its ring", n)
		}
	})
}
