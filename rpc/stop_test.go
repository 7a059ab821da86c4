package rpc

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// pool is a Resolver like discovery: it avoids endpoints that are leaving or down.
type pool struct {
	mu  sync.Mutex
	all []*Endpoint
	bad map[*Endpoint]bool
	n   int
}

func (p *pool) Resolve(string) Picker                           { return p }
func (p *pool) Report(*Endpoint, health.Outcome, time.Duration) {}
func (p *pool) Down(e *Endpoint, _ bool, _ error)               { p.mark(e, true) }
func (p *pool) Up(e *Endpoint)                                  {}
func (p *pool) Leaving(e *Endpoint)                             { p.mark(e, true) }

func (p *pool) mark(e *Endpoint, bad bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad[e] = bad
}

func (p *pool) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.all {
		p.n++
		if e := p.all[p.n%len(p.all)]; !p.bad[e] && !call.Tried(e) {
			return e, nil
		}
	}
	return nil, ErrNoInstance
}

// Servers are stopped one after another, by Leave and Drain and by Drain alone, and started again,
// under load: no call fails.
func TestRollingRestartFailsNoCall(t *testing.T) {
	p := &pool{bad: map[*Endpoint]bool{}}
	var servers []*testServer
	for range 3 {
		s := serve(t, ServerConfig{}, &handler{})
		servers = append(servers, s)
		p.all = append(p.all, s.endpoint())
	}
	c := client(t, ClientConfig{Resolver: p, Watcher: p})
	call := stub(t, c, ServiceOptions{Timeout: 10 * time.Second})
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				var err error
				if w < 4 {
					_, err = call().Echo(context.Background(), message(i))
				} else {
					_, err = call().Sleep(context.Background(), int64(i%10))
				}
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for round := range 6 {
		i := round % 3
		before := calls.Load()
		eventually(t, "calls go on", func() bool { return calls.Load() > before+100 })
		s := servers[i]
		if round%2 == 0 {
			s.Leave()
		}
		if err := s.Drain(context.Background()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		s.stop()
		servers[i] = serve(t, ServerConfig{}, &handler{})
		p.mu.Lock()
		p.all[i] = servers[i].endpoint()
		p.mu.Unlock()
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d calls", calls.Load())
}

func TestLeave(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	w := &watcher{}
	c := client(t, ClientConfig{Watcher: w}, s.endpoint())
	call := stub(t, c, ServiceOptions{})
	if _, err := call().Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Leave()
	eventually(t, "the client knows", func() bool { _, _, n := w.counts(); return n == 1 })
	if _, err := call().Who(t.Context()); err != nil {
		t.Errorf("a leaving server serves on: %v", err)
	}
	late := &watcher{}
	c = client(t, ClientConfig{Watcher: late}, s.endpoint())
	if _, err := stub(t, c, ServiceOptions{})().Who(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "a late client knows", func() bool { _, _, n := late.counts(); return n == 1 })
}

func TestDrainCutsOff(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
	failed := make(chan error, 1)
	go func() {
		_, err := call().Sleep(context.Background(), 60_000)
		failed <- err
	}()
	eventually(t, "the call has begun", func() bool { return s.handler.calls.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); err == nil {
		t.Error("Drain did not say that a call was cut off")
	}
	wantCode(t, <-failed, ConnectionLost, MaybeExecuted)
	_, err := call().Who(t.Context())
	if !SafeToRetry(err) {
		t.Errorf("after the drain: %v", err)
	}
}

// A drain refuses new calls as not executed while the old ones end.
func TestDrainRefuses(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
	slow := make(chan error, 1)
	go func() {
		_, err := call().Sleep(context.Background(), 300)
		slow <- err
	}()
	eventually(t, "the call has begun", func() bool { return s.handler.calls.Load() == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Drain(context.Background()) }()
	eventually(t, "it drains", s.draining.Load)
	_, err := call().Who(t.Context())
	wantCode(t, err, Draining, NotExecuted)
	if err := <-slow; err != nil {
		t.Errorf("the running call: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOneWayIsAcknowledged(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{notes: make(chan string)})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	if err := call().Note(t.Context(), "hi"); err != nil { // the handler blocks, so no worker takes the note yet
		t.Fatal(err)
	}
	if got := <-s.handler.notes; got != "hi" {
		t.Errorf("got %q", got)
	}
	s.draining.Store(true)
	wantCode(t, call().Note(t.Context(), "late"), Draining, NotExecuted)
}

// A client may leave once it has sent a one-way call: the call is executed all the same, with a
// context that lives until the server stops.
func TestOneWayOutlivesItsConnection(t *testing.T) {
	notes := make(chan string)
	s := serve(t, ServerConfig{}, &handler{notes: notes})
	for i := range 50 {
		c := client(t, ClientConfig{}, s.endpoint())
		text := fmt.Sprint(i)
		if err := stub(t, c, ServiceOptions{})().Note(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		c.Close()
		select {
		case got := <-notes:
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("note %d was accepted and not executed", i)
		}
	}
}

func TestServerLimits(t *testing.T) {
	for name, cfg := range map[string]ServerConfig{"server": {MaxCalls: 2}, "connection": {MaxConnCalls: 2}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, cfg, &handler{})
			c := client(t, ClientConfig{}, s.endpoint())
			call := stub(t, c, ServiceOptions{Timeout: time.Minute, Retries: new(0)})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { _, _ = call().Sleep(ctx, 60_000) })
			}
			eventually(t, "both run", func() bool { return s.handler.calls.Load() == 2 })
			_, err := call().Who(t.Context())
			wantCode(t, err, Overloaded, NotExecuted)
			cancel()
			wg.Wait()
			eventually(t, "there is room again", func() bool { _, err := call().Who(t.Context()); return err == nil })
		})
	}
}

// A client with many running calls does not keep out one without a call.
func TestFloodLeavesRoom(t *testing.T) {
	s := serve(t, ServerConfig{MaxCalls: 32}, &handler{})
	flood := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute, Retries: new(0)})
	quiet := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute, Retries: new(0)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { _, _ = flood().Sleep(ctx, 60_000) })
	}
	eventually(t, "thirty run", func() bool { return s.handler.calls.Load() == 30 })
	_, err := flood().Who(t.Context())
	wantCode(t, err, Overloaded, NotExecuted)
	if _, err := quiet().Who(t.Context()); err != nil {
		t.Errorf("a quiet connection: %v", err)
	}
	cancel()
	wg.Wait()
}

func TestUnknown(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	c := client(t, ClientConfig{}, s.endpoint())
	tc, err := c.Service("no-service", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var none noStruct
	_, err = tc.Call(t.Context(), "who", none, none)
	wantCode(t, err, UnknownService, NotExecuted)
	tc, _ = c.Service("echo", ServiceOptions{})
	_, err = tc.Call(t.Context(), "nothing", none, none)
	wantCode(t, err, UnknownMethod, NotExecuted)
	if n := s.Stats().Refused; n != 2 {
		t.Errorf("%d refused calls, want 2", n)
	}
	_, err = tc.Call(t.Context(), "echo", garbled{}, none)
	wantCode(t, err, BadMessage, NotExecuted)
}

// A method that an instance lacks is tried at another: during an update only some instances have
// it.
func TestUnknownMethodGoesElsewhere(t *testing.T) {
	old, young := serve(t, ServerConfig{}, &handler{}), serve(t, ServerConfig{}, &handler{name: "young"})
	if _, err := old.Handle("pair", "v1", echo.NewBaseProcessor(old.handler)); err != nil {
		t.Fatal(err)
	}
	if _, err := young.Handle("pair", "v2", echo.NewEchoProcessor(young.handler)); err != nil {
		t.Fatal(err)
	}
	list := first{{ID: "old", Service: "pair", Addr: old.addr}, {ID: "young", Service: "pair", Addr: young.addr}}
	c, err := NewClient(ClientConfig{Resolver: list})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tc, _ := c.Service("pair", ServiceOptions{})
	if m, err := echo.NewEchoClient(tc).Echo(t.Context(), &echo.Message{Text: "new"}); err != nil || m.Text != "new" {
		t.Errorf("got %v, %v", m, err)
	}
}

// When one service of several stops, only its callers learn it.
func TestLeaveService(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	if _, err := s.Handle("twin", "v1", echo.NewEchoProcessor(s.handler)); err != nil {
		t.Fatal(err)
	}
	w := &watcher{}
	for _, name := range []string{"echo", "twin"} {
		e := &Endpoint{ID: name, Service: name, Addr: s.addr}
		c, err := NewClient(ClientConfig{Resolver: Static(e), Watcher: w})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		tc, _ := c.Service(name, ServiceOptions{})
		if _, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil {
				t.Errorf("%s, which is served on: %v", name, err)
			}
		}()
	}
	s.LeaveService("twin")
	eventually(t, "the callers of twin know", func() bool { _, _, leaving := w.counts(); return leaving > 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.leaving) != 1 || w.leaving[0] != "twin" {
		t.Errorf("leaving are %v", w.leaving)
	}
}

func TestNetworkEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), l) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a closed listener: %v", err)
	}
}
