package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// narrowEnd is one end of a connection over a path that loses large packets. Bytes after the first
// large message never arrive.
type narrowEnd struct {
	net.Conn
	narrow *atomic.Bool
	stuck  atomic.Bool
}

func (n *narrowEnd) Write(p []byte) (int, error) {
	if n.narrow.Load() && len(p) > 1400 {
		n.stuck.Store(true)
	}
	if n.stuck.Load() {
		return len(p), nil
	}
	return n.Conn.Write(p)
}

// Close does not reach the other end when data before it is missing.
func (n *narrowEnd) Close() error {
	if !n.stuck.Load() {
		return n.Conn.Close()
	}
	time.AfterFunc(time.Minute, func() { _ = n.Conn.Close() })
	return n.SetReadDeadline(time.Unix(1, 0))
}

// narrow dials over a path that may lose large packets on the way out or back.
func (l *memoryListener) narrow(out, back *atomic.Bool) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case l.conns <- &narrowEnd{Conn: far, narrow: back}:
			return &narrowEnd{Conn: near, narrow: out}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TestNarrowPathIsNotTrusted: large packets vanish, in either direction, and a connection dies of it.
// The endpoint is not trusted again when only small packets pass.
func TestNarrowPathIsNotTrusted(t *testing.T) {
	for _, way := range []string{"requests", "replies"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testNarrow(t, way) })
		})
	}
}

func testNarrow(t *testing.T, way string) {
	var out, back atomic.Bool // narrow in that direction
	l := newMemoryListener()
	s := serveOn(t, ServerConfig{}, &handler{name: strings.Repeat("x", 4000)}, l)
	w, said, e := &lastDown{}, &strings.Builder{}, s.endpoint()
	c := client(
		t,
		ClientConfig{Watcher: w, Logger: slog.New(slog.NewTextHandler(said, nil)), Dial: l.narrow(&out, &back)},
		e,
	)
	call := stub(t, c, ServiceOptions{Retries: new(0), Breaker: Breaker{Off: true}})
	narrow, large := &back, func() error {
		_, err := call().Who(t.Context())
		return err
	}
	if way == "requests" {
		narrow, large = &out, func() error {
			_, err := call().Echo(t.Context(), &echo.Message{Text: strings.Repeat("x", 4000)})
			return err
		}
	}
	if err := errors.Join(large(), c.Check(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
	narrow.Store(true)
	wantCode(t, large(), DeadlineExceeded, MaybeExecuted)
	time.Sleep(2 * time.Second)
	if !errors.Is(w.cause(), ErrSilent) {
		t.Fatalf("told: %v, want %v", w.cause(), ErrSilent)
	}
	for range 2 { // no answer to a small packet restores the trust
		if err := c.Check(t.Context(), e); err == nil || !strings.Contains(err.Error(), "small packets pass") {
			t.Fatalf("check: %v", err)
		}
		if _, err := call().Sleep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(said.String(), "large packets to an instance vanish"); n != 1 {
		t.Errorf("said %d times: %s", n, said)
	}
	narrow.Store(false)
	if err := errors.Join(c.Check(t.Context(), e), large()); err != nil {
		t.Fatalf("the path is as it was: %v", err)
	}
	time.Sleep(2 * time.Minute) // until blocked connections end
	if n := s.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestNarrowPathToAPlainServer: the same with a server without pings.
func TestNarrowPathToAPlainServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, back atomic.Bool
		l := newMemoryListener()
		servePlain(t, l, 8, echo.NewEchoProcessor(&handler{}))
		e := plainEndpoint("a")
		c := client(t, ClientConfig{Dial: l.narrow(&out, &back), Logger: slog.New(slog.DiscardHandler)}, e)
		call := stub(t, c, ServiceOptions{Retries: new(0), Breaker: Breaker{Off: true}})
		large := func() error {
			_, err := call().Echo(t.Context(), &echo.Message{Text: strings.Repeat("x", 4000)})
			return err
		}
		if err := errors.Join(large(), c.Check(t.Context(), e)); err != nil {
			t.Fatal(err)
		}
		for _, way := range []*atomic.Bool{&out, &back} {
			time.Sleep(3 * time.Second) // this server closes a connection after a ping
			way.Store(true)
			wantCode(t, large(), DeadlineExceeded, MaybeExecuted)
			for range 2 {
				if err := c.Check(t.Context(), e); err == nil || !strings.Contains(err.Error(), "small packets pass") {
					t.Fatalf("check: %v", err)
				}
			}
			way.Store(false)
			if err := errors.Join(c.Check(t.Context(), e), large()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute) // until blocked connections end
		}
	})
}

// lastDown keeps the reason of the last ended connection.
type lastDown struct {
	watcher
	last atomic.Pointer[error]
}

func (w *lastDown) Down(e *Endpoint, dial bool, err error) {
	w.last.Store(&err)
	w.watcher.Down(e, dial, err)
}

func (w *lastDown) cause() error {
	if err := w.last.Load(); err != nil {
		return *err
	}
	return nil
}
