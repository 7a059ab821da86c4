package rpc

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memoryListener is a network within a synctest bubble.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *memoryListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *memoryListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// freezer is a connection to an end that can freeze: no bytes come from it any more, and bytes that
// are sent to it disappear.
type freezer struct {
	net.Conn
	frozen *atomic.Bool
	ended  chan struct{}
	once   sync.Once
}

func (f *freezer) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.frozen.Load() && err == nil {
		<-f.ended
		return 0, net.ErrClosed
	}
	return n, err
}

func (f *freezer) Write(p []byte) (int, error) {
	if f.frozen.Load() {
		return len(p), nil
	}
	return f.Conn.Write(p)
}

func (f *freezer) Close() error {
	f.once.Do(func() { close(f.ended) })
	return f.Conn.Close()
}

// A vanished host is detected by its silence in about two seconds while calls are tried, whether
// they wait that long or give up sooner.
func TestFrozenPeer(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"long calls": time.Minute,
		"short calls": 100 * time.Millisecond, "shorter than a sweep": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testFrozen(t, timeout) })
		})
	}
}

func testFrozen(t *testing.T, timeout time.Duration) {
	l := newMemoryListener()
	s := serveOn(t, ServerConfig{}, &handler{}, l)
	var frozen atomic.Bool
	w := &watcher{}
	c := client(t, ClientConfig{Watcher: w, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		nc, err := l.dial(ctx, addr)
		return &freezer{Conn: nc, frozen: &frozen, ended: make(chan struct{})}, err
	}}, s.endpoint())
	call := stub(t, c, ServiceOptions{Timeout: timeout, Retries: new(0), Breaker: Breaker{Off: true}})
	if _, err := call().Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour) // an idle connection is left alone
	if down, up, _ := w.counts(); down != 0 || up != 1 {
		t.Fatalf("idle for an hour: down %d, up %d", down, up)
	}
	frozen.Store(true)
	begin := time.Now()
	for {
		_, err := call().Who(context.Background())
		if CodeOf(err) == ConnectionLost {
			break
		}
		if down, _, _ := w.counts(); down > 0 {
			break
		}
		wantCode(t, err, DeadlineExceeded, MaybeExecuted)
		if time.Since(begin) > 5*time.Second {
			t.Fatal("after 5 s the frozen peer is still trusted")
		}
	}
	if took := time.Since(begin); took > 2500*time.Millisecond {
		t.Errorf("found after %v", took)
	}
	if down, _, _ := w.counts(); down != 1 {
		t.Errorf("told %d times, want once", down)
	}
}

// A slow handler does not count as a dead peer: the connection answers pings meanwhile.
func TestSlowHandlerIsNoFrozenPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{}, l)
		w := &watcher{}
		c := client(t, ClientConfig{Watcher: w, Dial: l.dial}, s.endpoint())
		call := stub(t, c, ServiceOptions{Timeout: time.Hour})
		if _, err := call().Sleep(t.Context(), 600_000); err != nil {
			t.Error(err)
		}
		if down, up, _ := w.counts(); down != 0 || up != 1 {
			t.Errorf("down %d, up %d", down, up)
		}
	})
}

// Check examines an endpoint again, and the connections of a retired endpoint are closed.
func TestCheckAndRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{}, l)
		w := &watcher{}
		c := client(t, ClientConfig{Watcher: w, Dial: l.dial})
		e := s.endpoint()
		for range 2 {
			if err := c.Check(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Stats().Connections; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		e.Retire()
		time.Sleep(3 * time.Second)
		if n := s.Stats().Connections; n != 0 {
			t.Errorf("%d connections to a retired endpoint", n)
		}
		if down, _, _ := w.counts(); down != 0 {
			t.Error("a retired endpoint was reported as down")
		}
		s.stop()
		if err := c.Check(t.Context(), &Endpoint{ID: "gone"}); err == nil {
			t.Error("a stopped server answers")
		}
		if down, _, _ := w.counts(); down != 1 {
			t.Errorf("told %d times that it is down", down)
		}
	})
}
