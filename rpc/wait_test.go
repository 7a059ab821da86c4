package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// arrivals is a picker of instances that come one after the other. A call that waits gets the next
// one.
type arrivals struct {
	first
	next chan *Endpoint
}

func (a *arrivals) Resolve(string) Picker { return a }

func (a *arrivals) Pick(ctx context.Context, call *Call) (*Endpoint, error) {
	call.Others = len(a.first) > 1
	e, err := a.first.Pick(ctx, call)
	if err == nil || !call.Wait {
		return e, err
	}
	select {
	case e := <-a.next:
		return e, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: none came: %w", ErrNoInstance, ctx.Err())
	}
}

// TestCallsWaitForAnInstance: a call without an instance waits for one within its deadline or its
// Wait, and its error says so when none comes.
func TestCallsWaitForAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "late"}, l)
		p := &arrivals{next: make(chan *Endpoint)}
		c := client(t, ClientConfig{Resolver: p, Dial: l.dial})
		for _, w := range []struct {
			wait, took time.Duration
		}{{0, 2 * time.Second}, {500 * time.Millisecond, 500 * time.Millisecond}, {-1, 0}, {time.Hour,
			2 * time.Second}} {
			begin := time.Now()
			_, err := stub(t, c, ServiceOptions{Timeout: 2 * time.Second, Wait: w.wait})().Who(t.Context())
			wantCode(t, err, NoInstance, NotExecuted)
			if took := time.Since(begin); took != w.took {
				t.Errorf("wait %v: failed after %v, want %v: %v", w.wait, took, w.took, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := stub(t, c, ServiceOptions{})().Who(ctx)
		wantCode(t, err, Canceled, NotExecuted)

		while, leave := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, leave)
		begun := time.Now()
		_, err = stub(t, c, ServiceOptions{})().Who(WaitWhile(t.Context(), while))
		if wantCode(t, err, NoInstance, NotExecuted); time.Since(begun) != 100*time.Millisecond {
			t.Errorf("a call that may wait for 100 ms took %v", time.Since(begun))
		}

		e := s.endpoint()
		time.AfterFunc(700*time.Millisecond, func() { p.next <- e })
		begin := time.Now()
		who, err := stub(t, c, ServiceOptions{})().Who(t.Context())
		if took := time.Since(begin); err != nil || who != "late" || took != 700*time.Millisecond {
			t.Errorf("after %v: %q, %v", took, who, err)
		}
	})
}

// TestCallsWaitForASuccessor: when all instances that a call has tried are gone, it waits for the
// next one, whatever their number. This also holds for an idempotent call that had been sent.
// Without retries it fails as before.
func TestCallsWaitForASuccessor(t *testing.T) {
	gone := func(ctx context.Context, addr string) (net.Conn, error) { return nil, errors.New("connection refused") }
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "next"}, l)
		next := s.endpoint()
		var dead first
		for i := range 5 {
			dead = append(dead, &Endpoint{ID: fmt.Sprint(i), Service: "echo", Addr: fmt.Sprint("dead:", i)})
		}
		p := &arrivals{first: dead, next: make(chan *Endpoint)}
		c := client(t, ClientConfig{Resolver: p, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "dead") {
				return gone(ctx, addr)
			}
			return l.dial(ctx, addr)
		}})
		_, err := stub(t, c, ServiceOptions{Retries: new(0)})().Who(t.Context())
		wantCode(t, err, Unreachable, NotExecuted)
		begin := time.Now()
		_, err = stub(t, c, ServiceOptions{})().Who(t.Context())
		if e := wantCode(t, err, Unreachable, NotExecuted); time.Since(begin) != time.Second ||
			!strings.Contains(e.Error(), "none came") {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		time.AfterFunc(700*time.Millisecond, func() { p.next <- next })
		who, err := stub(t, c, ServiceOptions{})().Who(t.Context())
		if err != nil || who != "next" {
			t.Errorf("%q, %v", who, err)
		}
	})
}

// standing is a picker of one instance that it holds for well, whatever calls find there.
type standing struct{ only *Endpoint }

func (s standing) Resolve(string) Picker { return s }

func (s standing) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	if call.Tried(s.only) && !call.Wait {
		return nil, ErrNoInstance
	}
	return s.only, nil
}

func (standing) Report(*Endpoint, health.Outcome, time.Duration) {}

// TestCallsWaitBehindAProxy: a living proxy answers for a program that is started again. A call waits for the program
// within its deadline, with pauses, also when its trace names the version.
func TestCallsWaitBehindAProxy(t *testing.T) {
	for _, versioned := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, asked := newMemoryListener(), 0
			back := time.Now().Add(1500 * time.Millisecond)
			proxy := func(ctx context.Context, _ *CallInfo, next func(context.Context) error) error {
				if asked++; time.Now().Before(back) {
					return &Error{Code: Unreachable, Err: errors.New("the program has ended")}
				}
				return next(ctx)
			}
			s := serveOn(t, ServerConfig{Interceptors: []ServerInterceptor{proxy}}, &handler{name: "program"}, l)
			e := s.endpoint()
			e.Version = "v1"
			cfg := ClientConfig{Resolver: standing{e}, Dial: l.dial}
			ctx := t.Context()
			if versioned {
				var log rollout.Log
				agent, err := participant.New(participant.Config{Process: "caller"})
				if err == nil {
					err = agent.Learn(log.Next("r", map[string]rollout.Rule{"echo": {Version: "v1"}}))
				}
				if err != nil {
					t.Fatal(err)
				}
				cfg.Rollout = agent
				trace := agent.Begin("caller", 1, "")
				defer trace.End()
				ctx = trace.Context(ctx)
			}
			who, err := stub(t, client(t, cfg), ServiceOptions{Timeout: 5 * time.Second})().Who(ctx)
			if took := time.Since(back); err != nil || who != "program" || took < 0 || took > 2*lastPause {
				t.Errorf("versioned %v: %v after it is back: %q, %v", versioned, took, who, err)
			}
			if asked < 3 || asked > 25 {
				t.Errorf("versioned %v: the proxy was asked %d times", versioned, asked)
			}
		})
	}
}

// TestSilentInstanceIsLeftInTime: an idempotent call leaves a silent instance after half of its time,
// and not before. Any other call is not sent again, and fails as one that may have been executed.
func TestSilentInstanceIsLeftInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &handler{name: "a", seen: func(context.Context) { time.Sleep(900 * time.Millisecond) }}
		a, b := newMemoryListener(), newMemoryListener()
		one, two := serveOn(t, ServerConfig{}, slow, a), serveOn(t, ServerConfig{}, &handler{name: "b"}, b)
		var frozen atomic.Bool
		w := &watcher{}
		p := &arrivals{first: first{{ID: "a", Service: "echo", Addr: "a"}, {ID: "b", Service: "echo", Addr: "b"}}}
		c := client(
			t,
			ClientConfig{Resolver: p, Watcher: w, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
				if addr == "b" {
					return b.dial(ctx, addr)
				}
				nc, err := a.dial(ctx, addr)
				return &freezer{Conn: nc, frozen: &frozen, ended: make(chan struct{})}, err
			}},
		)
		again := stub(t, c, ServiceOptions{Idempotent: []string{"who"}})
		once := stub(t, c, ServiceOptions{})

		if who, err := again().Who(t.Context()); err != nil || who != "a" {
			t.Errorf("a slow one that lives: %q, %v", who, err)
		}
		if down, _, _ := w.counts(); down != 0 || one.handler.calls.Load() != 1 || two.handler.calls.Load() != 0 {
			t.Fatalf(
				"a slow one that lives: %d times down, %d and %d calls",
				down,
				one.handler.calls.Load(),
				two.handler.calls.Load(),
			)
		}
		frozen.Store(true)
		begin := time.Now()
		who, err := again().Who(t.Context())
		if took := time.Since(begin); err != nil || who != "b" || took < 500*time.Millisecond ||
			took > 560*time.Millisecond {
			t.Errorf("a silent one, after %v: %q, %v", took, who, err)
		}
		if down, _, _ := w.counts(); down != 1 {
			t.Errorf("told %d times that it is down, want once", down)
		}
		_, err = once().Who(t.Context())
		wantCode(t, err, DeadlineExceeded, MaybeExecuted)
	})
}

// TestAttemptTimeout: Attempt bounds each attempt of an idempotent method while there is another
// instance.
func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemoryListener(), newMemoryListener()
		serveOn(
			t,
			ServerConfig{},
			&handler{name: "a", seen: func(context.Context) { time.Sleep(600 * time.Millisecond) }},
			a,
		)
		serveOn(t, ServerConfig{}, &handler{name: "b"}, b)
		p := &arrivals{first: first{{ID: "a", Service: "echo", Addr: "a"}, {ID: "b", Service: "echo", Addr: "b"}}}
		c := client(t, ClientConfig{Resolver: p, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return map[string]*memoryListener{"a": a, "b": b}[addr].dial(ctx, addr)
		}})
		o := ServiceOptions{Attempt: 200 * time.Millisecond, Idempotent: []string{"who"}}
		begin := time.Now()
		who, err := stub(t, c, o)().Who(t.Context())
		if took := time.Since(begin); err != nil || who != "b" || took < 200*time.Millisecond ||
			took > 250*time.Millisecond {
			t.Errorf("after %v: %q, %v", took, who, err)
		}
		o.Idempotent = nil
		if who, err := stub(t, c, o)().Who(t.Context()); err != nil || who != "a" {
			t.Errorf("another method: %q, %v", who, err)
		}
		o.Idempotent, p.first = []string{"who"}, p.first[:1]
		if who, err := stub(t, c, o)().Who(t.Context()); err != nil || who != "a" {
			t.Errorf("without another instance: %q, %v", who, err)
		}
	})
}

// TestAttemptTimeoutOfTheCallee: a callee that answers by the attempt's deadline, a moment before its caller gives up,
// ends the attempt and not the call.
func TestAttemptTimeoutOfTheCallee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemoryListener(), newMemoryListener()
		early := func(ctx context.Context, _ *CallInfo, next func(context.Context) error) error {
			end, _ := ctx.Deadline()
			ctx, cancel := context.WithDeadline(ctx, end.Add(-5*time.Millisecond))
			defer cancel()
			<-ctx.Done()
			return &Error{Code: DeadlineExceeded, Err: ctx.Err()}
		}
		serveOn(t, ServerConfig{Interceptors: []ServerInterceptor{early}}, &handler{name: "a"}, a)
		serveOn(t, ServerConfig{}, &handler{name: "b"}, b)
		p := &arrivals{first: first{{ID: "a", Service: "echo", Addr: "a"}, {ID: "b", Service: "echo", Addr: "b"}}}
		c := client(t, ClientConfig{Resolver: p, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return map[string]*memoryListener{"a": a, "b": b}[addr].dial(ctx, addr)
		}})
		o := ServiceOptions{Attempt: 200 * time.Millisecond, Idempotent: []string{"who"}}
		if who, err := stub(t, c, o)().Who(t.Context()); err != nil || who != "b" {
			t.Errorf("got %q, %v", who, err)
		}
		o.Attempt = 0
		_, err := stub(t, c, o)().Who(t.Context())
		wantCode(t, err, DeadlineExceeded, NotExecuted)
	})
}

// TestDrainClosesThePort: a server that drains accepts no connection while calls still run, and
// closes idle ones of other libraries' clients, so that these go elsewhere.
func TestDrainClosesThePort(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
	slow := make(chan error, 1)
	go func() {
		_, err := call().Sleep(context.Background(), 700)
		slow <- err
	}()
	eventually(t, "the call has begun", func() bool { return s.handler.calls.Load() == 1 })
	idle, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	eventually(t, "it is connected", func() bool { return s.Stats().Connections == 2 })
	done := make(chan error, 1)
	go func() { done <- s.Drain(context.Background()) }()
	eventually(t, "no call is let in", func() bool {
		nc, err := net.Dial("tcp", s.addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that rests: %v, want EOF", err)
	}
	select {
	case err := <-slow:
		t.Errorf("the running call ended before the port was closed: %v", err)
	default:
	}
	if err := errors.Join(<-slow, <-done); err != nil {
		t.Error(err)
	}
}
