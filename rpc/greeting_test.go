package rpc

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// When another process or another version now answers at a listed port, it executes no call.
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

// The callee detects a version that changes under a standing connection.
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
	// A service that was added after the connection can be called on it.
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

// Greetings that differ in any part have different signatures.
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
