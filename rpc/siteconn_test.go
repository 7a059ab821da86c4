package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/transport"
)

const (
	ownerA = "host-a/1/a"
	ownerB = "host-b/2/b"
	ownerC = "host-c/3/c"
)

// keysOf is a ring of the site's keys, as it is given for one use of them.
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

// guarded is a server of process B with the service "skerry.test", of which
// only one method is open to all.
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

// What a peer may call of an internal service, by how it has come.
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
		ok     bool // the others do, too
		owner  string
		says   string // in the error
	}{
		{name: "plain", ep: &Endpoint{}, open: true, says: "skerry key set"},
		{name: "plain, with hello", client: ClientConfig{Identity: identityOf(ownerA, 1)}, open: true, owner: ownerA},
		{name: "site connection", ep: &Endpoint{Site: true}, open: true, ok: true, owner: ownerA},
		{name: "site connection to the process that is meant", ep: &Endpoint{Site: true, Owner: ownerB}, open: true, ok: true, owner: ownerA},
		{name: "site connection to another process", ep: &Endpoint{Site: true, Owner: ownerC}, says: "meant is " + ownerC},
		{name: "site connection by another key", client: ClientConfig{Site: siteOf(t, ownerA, 2)}, ep: &Endpoint{Site: true}, says: "none of the 1 site keys"},
		{name: "site connection by a key that only the caller knows too", client: ClientConfig{Site: siteOf(t, ownerA, 2, 1)}, ep: &Endpoint{Site: true}, says: "same site key"},
		{name: "site connection to itself", client: ClientConfig{Site: siteOf(t, ownerB, 1)}, ep: &Endpoint{Site: true}},
		{name: "users' TLS", server: ServerConfig{TLS: users()}, client: ClientConfig{TLS: usersClient}, ep: &Endpoint{TLS: true}, open: true},
		{name: "site connection on a port with TLS", server: ServerConfig{TLS: users()}, ep: &Endpoint{Site: true}, open: true, ok: true, owner: ownerA},
		{name: "certificates prove membership", server: ServerConfig{TLS: users(), Member: verified}, client: ClientConfig{TLS: usersClient},
			ep: &Endpoint{TLS: true}, open: true, ok: true},
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

// Users' calls go on beside site connections, on the same port.
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

// A ClientHello of others than processes of the site is refused on a plain
// port, counted and said.
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

// A port that another process has taken over, or that serves another version
// now, executes nothing that was meant for the listed one.
func TestAnotherProcessAnswers(t *testing.T) {
	for _, test := range []struct {
		name       string
		is, listed string // version
		owner      string // listed
		cluster    string
		other      bool
	}{
		{name: "the listed one", is: "v1", listed: "v1", owner: ownerB},
		{name: "no version is listed", is: "v1"},
		{name: "no version", owner: ownerB},
		{name: "another process", is: "v1", listed: "v1", owner: ownerC, other: true},
		{name: "another version", is: "v2", listed: "v1", owner: ownerB, other: true},
		{name: "another cluster", is: "v1", listed: "v1", cluster: "y", other: true},
		{name: "a version that says none", listed: "v1", other: true},
	} {
		for _, keys := range []string{"", "\x01"} {
			t.Run(test.name, func(t *testing.T) {
				identity := func(owner, cluster string) Identity {
					id := identityOf(owner, []byte(keys)...)
					id.Cluster = cluster
					return id
				}
				h, good := &handler{}, &handler{name: "good"}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s, err := NewServer(
					ServerConfig{Identity: identity(ownerB, "x"), Logger: slog.New(slog.DiscardHandler)},
				)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Handle("echo", test.is, echo.NewEchoProcessor(h)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- s.Serve(ctx, l) }()
				defer func() { cancel(); <-served }()
				elsewhere := serve(t, ServerConfig{}, good)
				e := &Endpoint{
					ID:      "e",
					Service: "echo",
					Version: test.listed,
					Owner:   test.owner,
					Addr:    l.Addr().String(),
				}
				w := &watcher{}
				cluster := test.cluster
				if cluster == "" {
					cluster = "x"
				}
				cfg := ClientConfig{
					Resolver: first{e, elsewhere.endpoint()},
					Watcher:  w,
					Identity: identity(ownerA, cluster),
				}
				call := stub(t, client(t, cfg), ServiceOptions{})
				if _, err := call().Who(t.Context()); err != nil {
					t.Fatal(err)
				}
				if test.other != (h.calls.Load() == 0) || test.other != (good.calls.Load() == 1) {
					t.Errorf("executed: there %d, elsewhere %d", h.calls.Load(), good.calls.Load())
				}
				if down, _, _ := w.counts(); (down == 1) != test.other {
					t.Errorf("told of %v", w.down)
				}
			})
		}
	}
}

// A version that changes under a standing connection is noticed at the callee.
func TestVersionChangesUnderAConnection(t *testing.T) {
	h := &handler{}
	s := serve(t, ServerConfig{}, h)
	old, later := &handler{}, &handler{}
	remove, err := s.Handle("other", "v1", echo.NewEchoProcessor(old))
	if err != nil {
		t.Fatal(err)
	}
	meant := &Endpoint{ID: "1", Service: "other", Version: "v1", Addr: s.addr}
	c := client(t, ClientConfig{}, meant)
	call := func(e *Endpoint) error {
		_, err := echo.NewEchoClient(c.At("other", e)).Who(t.Context())
		return err
	}
	if err := call(meant); err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := s.Handle("other", "v2", echo.NewEchoProcessor(later)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, call(meant), WrongVersion, NotExecuted)
	if err := call(&Endpoint{ID: "2", Service: "other", Addr: s.addr}); err != nil {
		t.Errorf("a caller that means no version: %v", err)
	}
	// A service that came after the connection is there for it.
	added := &handler{}
	if _, err := s.Handle("added", "v7", echo.NewEchoProcessor(added)); err != nil {
		t.Fatal(err)
	}
	if _, err := echo.NewEchoClient(c.At("added", meant)).Who(t.Context()); err != nil {
		t.Errorf("a service that was added: %v", err)
	}
	if old.calls.Load() != 1 || later.calls.Load() != 1 || added.calls.Load() != 1 {
		t.Errorf("executed: old %d, later %d, added %d", old.calls.Load(), later.calls.Load(), added.calls.Load())
	}
}

// A hello marks a connection only when both sides hold a key of the site.
func TestHello(t *testing.T) {
	for _, test := range []struct {
		name           string
		client, server Identity
		marked         bool
	}{
		{"one key", identityOf(ownerA, 1), identityOf(ownerB, 1), true},
		{"in the middle of a rotation", identityOf(ownerA, 1, 2), identityOf(ownerB, 2, 1), true},
		{"another key", identityOf(ownerA, 2), identityOf(ownerB, 1), false},
		{"the client has none", identityOf(ownerA), identityOf(ownerB, 1), false},
		{"the server has none", identityOf(ownerA, 1), identityOf(ownerB), false},
		{"another cluster", Identity{"y", ownerA, keysOf(1)}, Identity{"", ownerB, keysOf(1)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen atomic.Pointer[PeerInfo]
			h := &handler{seen: func(ctx context.Context) { p := CallInfoFrom(ctx).From(); seen.Store(&p) }}
			s := serve(t, ServerConfig{Identity: test.server}, h)
			call := stub(t, client(t, ClientConfig{Identity: test.client}, s.endpoint()), ServiceOptions{})
			if _, err := call().Who(t.Context()); err != nil {
				t.Fatal(err)
			}
			p := seen.Load()
			if p.Hello != test.marked || (p.Owner == ownerA) != test.marked || p.Site || p.outside() == test.marked {
				t.Errorf("the server knows %+v", *p)
			}
		})
	}
}

// An internal service has places of its own: neither side takes the other's.
func TestRoomOfInternalServices(t *testing.T) {
	h := &handler{}
	s := guarded(t, ServerConfig{MaxCalls: 2, Site: siteOf(t, ownerB, 1), Identity: identityOf(ownerB, 1)}, h)
	e := s.endpoint()
	e.Site = true
	sleep := func(ctx context.Context, c *Client) error {
		_, err := internalStub(c, e).Sleep(ctx, 60_000)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, internalOfOne)
	one := client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e)
	for range internalOfOne {
		go func() { ended <- sleep(ctx, one) }()
	}
	eventually(t, "the internal calls run", func() bool { return s.Stats().Running == internalOfOne })
	wantCode(t, sleep(t.Context(), client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e)), Overloaded, NotExecuted)
	if _, err := internalStub(client(t, ClientConfig{Site: siteOf(t, ownerC, 1)}, e), e).Who(t.Context()); err != nil {
		t.Errorf("another process: %v", err)
	}
	users := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	if _, err := users().Who(t.Context()); err != nil {
		t.Errorf("a user's call: %v", err)
	}
	cancel()
	for range internalOfOne {
		<-ended
	}
	eventually(t, "the places are free", func() bool { return s.internal.running() == 0 })

	// The other way round: users take all their places.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		other := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
		go func() { _, err := other().Sleep(ctx, 60_000); ended <- err }()
	}
	eventually(t, "users' calls run", func() bool { return s.Stats().Running == 2 })
	_, err := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Retries: new(int)})().Who(t.Context())
	wantCode(t, err, Overloaded, NotExecuted)
	if _, err := internalStub(one, e).Who(t.Context()); err != nil {
		t.Errorf("an internal call while users take all places: %v", err)
	}
	cancel()
	<-ended
	<-ended
}

func TestInternalRequestsAreSmall(t *testing.T) {
	h := &handler{}
	s := guarded(t, ServerConfig{Member: func(PeerInfo) error { return nil }}, h)
	c := client(t, ClientConfig{}, s.endpoint())
	m := message(1)
	m.Text = strings.Repeat("x", internalRequest)
	_, err := internalStub(c, s.endpoint()).Echo(t.Context(), m)
	wantCode(t, err, TooLarge, NotExecuted)
	m.Text = m.Text[:internalRequest-1000]
	if _, err := internalStub(c, s.endpoint()).Echo(t.Context(), m); err != nil {
		t.Error(err)
	}
}

func FuzzGreeting(f *testing.F) {
	g := greeting{newNonce(), ownerA, "x", []offered{{"auth", "v1"}, {"web", ""}}, strings.Repeat("m", 32)}
	f.Add(string(g.append(nil)))
	f.Add("")
	f.Add("\x10")
	f.Fuzz(func(t *testing.T, value string) {
		g, err := readGreeting(value)
		if err != nil {
			return
		}
		again, err := readGreeting(string(g.append(nil)))
		if err != nil || again.owner != g.owner || len(again.offers) != len(g.offers) {
			t.Errorf("%q is read as %+v, and written again as %+v, %v", value, g, again, err)
		}
		_ = proven(keysOf(1)(), g.mac, "server", &g, &again)
		_ = g.differs(&Endpoint{Service: "auth", Version: "v1", Owner: ownerA}, "x")
	})
}

// What differs in any part of two greetings is signed differently.
func TestProofsCoverEverything(t *testing.T) {
	base := func() (c, s greeting) {
		return greeting{nonce: strings.Repeat("c", 16), owner: "a", cluster: "x"},
			greeting{nonce: strings.Repeat("s", 16), owner: "b", cluster: "x", offers: []offered{{"auth", "v1"}}}
	}
	key := keysOf(1)()[0]
	seen := map[string]string{}
	add := func(name, mac string) {
		if was, ok := seen[mac]; ok {
			t.Errorf("%q and %q are signed alike", name, was)
		}
		seen[mac] = name
	}
	c, s := base()
	add("base", prove(key, "server", &c, &s))
	add("side", prove(key, "client", &c, &s))
	add("key", prove(keysOf(2)()[0], "server", &c, &s))
	for name, change := range map[string]func(c, s *greeting){
		"nonce of the client": func(c, _ *greeting) { c.nonce = strings.Repeat("d", 16) },
		"nonce of the server": func(_, s *greeting) { s.nonce = strings.Repeat("d", 16) },
		"the client":          func(c, _ *greeting) { c.owner = "ab" },
		"the server":          func(_, s *greeting) { s.owner = "" },
		"cluster":             func(c, _ *greeting) { c.cluster = "" },
		"version":             func(_, s *greeting) { s.offers = []offered{{"auth", "v2"}} },
		"moved length":        func(_, s *greeting) { s.offers = []offered{{"authv", "1"}} },
		"no services":         func(_, s *greeting) { s.offers = nil },
		"swapped":             func(c, s *greeting) { *c, *s = *s, *c },
	} {
		c, s := base()
		change(&c, &s)
		add(name, prove(key, "server", &c, &s))
	}
}

// Anything may be the first bytes of a connection that is not plain.
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

// A trace that a stranger brings is known as such; a member's is not.
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
				seen: func(ctx context.Context) { from, peer = participant.TraceFrom(ctx).Outside(), CallInfoFrom(ctx).Peer },
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

// Connections that only a key proves which was taken out end on both sides.
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
