package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// handler serves package echo.
type handler struct {
	name     string
	calls    atomic.Int64
	canceled atomic.Int64
	notes    chan string
	seen     func(context.Context)
}

func (h *handler) Who(ctx context.Context) (string, error) {
	h.calls.Add(1)
	if h.seen != nil {
		h.seen(ctx)
	}
	return h.name, nil
}

func (h *handler) Echo(_ context.Context, m *echo.Message) (*echo.Message, error) {
	h.calls.Add(1)
	return m, nil
}

func (h *handler) Sleep(ctx context.Context, millis int64) (int64, error) {
	h.calls.Add(1)
	select {
	case <-time.After(time.Duration(millis) * time.Millisecond):
		return millis, nil
	case <-ctx.Done():
		h.canceled.Add(1)
		return 0, ctx.Err()
	}
}

func (h *handler) Fail(_ context.Context, how string) error {
	h.calls.Add(1)
	switch how {
	case "declared":
		return &echo.Refusal{Why: "declared"}
	case "panic":
		panic("handler panics")
	case "abandon":
		return thrift.ErrAbandonRequest
	case "error":
		return errors.New("undeclared")
	}
	return nil
}

func (h *handler) Note(_ context.Context, text string) error {
	h.calls.Add(1)
	if h.notes != nil {
		h.notes <- text
	}
	return nil
}

// testServer is a server on loopback with the service "echo".
type testServer struct {
	*Server
	handler *handler
	addr    string
	stop    func()
}

func serve(t *testing.T, cfg ServerConfig, h *handler) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, cfg, h, l)
}

func serveOn(t *testing.T, cfg ServerConfig, h *handler, l net.Listener) *testServer {
	t.Helper()
	ts := serveAny(t, cfg, h, l)
	ts.handler = h
	return ts
}

func serveAny(t *testing.T, cfg ServerConfig, h echo.Echo, l net.Listener) *testServer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(h)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	ts := &testServer{Server: s, addr: l.Addr().String()}
	ts.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(ts.stop)
	return ts
}

func (s *testServer) endpoint() *Endpoint {
	return &Endpoint{ID: s.addr, Service: "echo", Addr: s.addr}
}

// client is a client of the endpoints.
func client(t *testing.T, cfg ClientConfig, endpoints ...*Endpoint) *Client {
	t.Helper()
	if cfg.Resolver == nil {
		cfg.Resolver = Static(endpoints...)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// stub returns a function that makes generated clients, one for each call.
func stub(t *testing.T, c *Client, o ServiceOptions) func() *echo.EchoClient {
	t.Helper()
	tc, err := c.Service("echo", o)
	if err != nil {
		t.Fatal(err)
	}
	return func() *echo.EchoClient { return echo.NewEchoClient(tc) }
}

// wantCode fails the test unless err is an *Error with this code and state of execution.
func wantCode(t *testing.T, err error, code Code, executed Executed) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Code != code || e.Executed != executed {
		t.Fatalf("got %v, want %v, %v", err, code, executed)
	}
	return e
}

func message(n int) *echo.Message {
	return &echo.Message{Text: fmt.Sprint("text ", n), Number: int64(n), Tags: map[string]string{"n": fmt.Sprint(n)}}
}

// eventually waits, on the real clock, for an effect of another goroutine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(5*time.Second, ok) {
		t.Fatalf("after 5 s still not: %s", what)
	}
}

// within asks once a millisecond until ok reports true, and reports whether it did
// so in time. It is the one place where tests on real connections poll.
func within(d time.Duration, ok func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); !ok(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// isPart reports whether s is a part of whole in memory.
func isPart(s, whole string) bool {
	begin, at := uintptr(unsafe.Pointer(unsafe.StringData(whole))), uintptr(unsafe.Pointer(unsafe.StringData(s)))
	return len(s) > 0 && begin <= at && at < begin+uintptr(len(whole))
}
