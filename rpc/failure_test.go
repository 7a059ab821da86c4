package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/tracecontext"
)

// watcher records its calls.
type watcher struct {
	mu                sync.Mutex
	down, up, leaving []string
}

func (w *watcher) Down(e *Endpoint, dial bool, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how := "lost "
	if dial {
		how = "dial "
	}
	w.down = append(w.down, how+e.ID)
}

func (w *watcher) Up(e *Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up = append(w.up, e.ID)
}

func (w *watcher) Leaving(e *Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = append(w.leaving, e.ID)
}

func (w *watcher) counts() (down, up, leaving int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.down), len(w.up), len(w.leaving)
}

// first is a Resolver that returns the endpoints in their order, each once.
type first []*Endpoint

func (f first) Resolve(string) Picker { return f }
func (f first) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	for _, e := range f {
		if call.TryAgain || !call.Tried(e) {
			return e, nil
		}
	}
	return nil, ErrNoInstance
}
func (first) Report(*Endpoint, health.Outcome, time.Duration) {}

// nowhere is an endpoint that refuses connections.
func nowhere(t *testing.T) *Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &Endpoint{ID: "nowhere", Service: "echo", Addr: l.Addr().String()}
}

// silent is an endpoint that accepts connections and sends nothing, like a frozen process.
func silent(t *testing.T) *Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &Endpoint{ID: "silent", Service: "echo", Addr: l.Addr().String()}
}

func TestTimeoutAndCancel(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	c := client(t, ClientConfig{}, s.endpoint())
	call := stub(t, c, ServiceOptions{Timeout: 50 * time.Millisecond})
	begin := time.Now()
	_, err := call().Sleep(context.Background(), 5000)
	if CodeOf(err) != DeadlineExceeded || SafeToRetry(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v, and that it may have been executed", err, DeadlineExceeded)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a time-out of 50 ms took %v", took)
	}
	eventually(t, "the handler's context has ended", func() bool { return s.handler.canceled.Load() == 1 })

	call = stub(t, c, ServiceOptions{Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = call().Sleep(ctx, 60_000)
	wantCode(t, err, Canceled, MaybeExecuted)
	eventually(
		t,
		"a cancel frame has ended the handler's context",
		func() bool { return s.handler.canceled.Load() == 2 },
	)
	eventually(t, "no call is left on the server", func() bool { return s.Stats().Running == 0 })
}

// The deadline travels and shrinks; trace, baggage and caller travel with the call.
func TestMetadataTravels(t *testing.T) {
	var inner, outer CallInfo
	back := serve(t, ServerConfig{}, &handler{seen: func(ctx context.Context) { inner = *CallInfoFrom(ctx) }})
	callBack := stub(t, client(t, ClientConfig{Caller: "front"}, back.endpoint()), ServiceOptions{Timeout: time.Hour})
	front := serve(t, ServerConfig{}, &handler{seen: func(ctx context.Context) {
		outer = *CallInfoFrom(ctx)
		if _, err := callBack().Who(ctx); err != nil {
			t.Errorf("inner call: %v", err)
		}
	}})
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := WithBaggage(WithTrace(context.Background(), trace, "x=y"), "user=7")
	callFront := stub(
		t,
		client(t, ClientConfig{Caller: "edge"}, front.endpoint()),
		ServiceOptions{Timeout: 700 * time.Millisecond},
	)
	if _, err := callFront().Who(ctx); err != nil {
		t.Fatal(err)
	}
	for _, hop := range []struct {
		CallInfo
		caller string
	}{{outer, "edge"}, {inner, "front"}} {
		if hop.Caller != hop.caller || hop.Baggage != "user=7" || hop.TraceState != "x=y" || hop.Version != "v1" ||
			hop.Method != "who" {
			t.Errorf("at %s: %+v", hop.caller, hop.CallInfo)
		}
		if tracecontext.ID(hop.Trace) != tracecontext.ID(trace) || hop.Trace == trace {
			t.Errorf("trace %q is no child of %q", hop.Trace, trace)
		}
		if left := time.Until(hop.Deadline); left <= 0 || left > 700*time.Millisecond {
			t.Errorf("the deadline is %v away", left)
		}
	}
	if inner.Deadline.After(outer.Deadline.Add(2 * time.Millisecond)) {
		t.Errorf("the deadline grew from %v to %v", outer.Deadline, inner.Deadline)
	}
}

func TestUnreachableGoesElsewhere(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "there"})
	w := &watcher{}
	for _, bad := range []*Endpoint{nowhere(t), silent(t)} {
		c := client(
			t,
			ClientConfig{Resolver: first{bad, s.endpoint()}, Watcher: w, ConnectTimeout: 100 * time.Millisecond},
		)
		if who, err := stub(t, c, ServiceOptions{})().Who(t.Context()); err != nil || who != "there" {
			t.Errorf("past %s: %q, %v", bad.ID, who, err)
		}
		_, err := stub(t, c, ServiceOptions{Retries: new(0)})().Who(t.Context())
		if e := wantCode(t, err, Unreachable, NotExecuted); e.Attempt != 1 || e.Instance != bad.Addr {
			t.Errorf("no retries: %v", err)
		}
	}
	if down, _, _ := w.counts(); down < 2 {
		t.Errorf("told of %d endpoints that are down, want 2", down)
	}
	c := client(t, ClientConfig{Resolver: first{nowhere(t), nowhere(t)}})
	_, err := stub(t, c, ServiceOptions{Retries: new(5)})().Who(t.Context())
	wantCode(t, err, Unreachable, NotExecuted)
	_, err = stub(t, client(t, ClientConfig{}), ServiceOptions{})().Who(t.Context())
	wantCode(t, err, NoInstance, NotExecuted)
}

// A process that has removed the service, or got the port of a dead one, refuses. Another instance
// serves.
func TestUnknownServiceGoesElsewhere(t *testing.T) {
	gone, err := NewServer(ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- gone.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()
	e := &Endpoint{ID: "gone", Service: "echo", Addr: l.Addr().String()}
	s := serve(t, ServerConfig{}, &handler{name: "there"})
	c := client(t, ClientConfig{Resolver: first{e, s.endpoint()}})
	if who, err := stub(t, c, ServiceOptions{})().Who(t.Context()); err != nil || who != "there" {
		t.Errorf("past one without the service: %q, %v", who, err)
	}
	_, err = stub(t, c, ServiceOptions{Retries: new(0)})().Who(t.Context())
	wantCode(t, err, UnknownService, NotExecuted)
}

// A killed server fails the sent calls at once, and no client sends them again unless they are
// idempotent. The watcher learns it without traffic.
func TestKill(t *testing.T) {
	w := &watcher{}
	s, other := serve(t, ServerConfig{}, &handler{name: "a"}), serve(t, ServerConfig{}, &handler{name: "b"})
	e := s.endpoint()
	kill := proxy(t, e)
	c := client(t, ClientConfig{Resolver: first{e, other.endpoint()}, Watcher: w})
	call := stub(t, c, ServiceOptions{Timeout: 10 * time.Second, Idempotent: []string{"who"}})
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Fatal(who, err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := call().Sleep(context.Background(), 5000)
		failed <- err
	}()
	eventually(t, "the call has begun", func() bool { return s.handler.calls.Load() == 2 })
	kill()
	wantCode(t, <-failed, ConnectionLost, MaybeExecuted)
	if n := other.handler.calls.Load(); n != 0 {
		t.Errorf("a call that may have been executed was sent again: %d", n)
	}
	if down, _, _ := w.counts(); down != 1 {
		t.Errorf("told of %d lost connections, want 1", down)
	}
	eventually(t, "the server has ended the handler's context", func() bool { return s.handler.canceled.Load() == 1 })
}

func TestIdempotentIsSentAgain(t *testing.T) {
	var cut atomic.Bool
	var kill atomic.Pointer[func()] // the handler may still run after its caller has given up
	h := &handler{name: "a"}
	h.seen = func(context.Context) {
		if cut.CompareAndSwap(true, false) {
			(*kill.Load())()
			<-time.After(20 * time.Millisecond)
		}
	}
	s, other := serve(t, ServerConfig{}, h), serve(t, ServerConfig{}, &handler{name: "b"})
	e := s.endpoint()
	kill.Store(new(proxy(t, e)))
	c := client(t, ClientConfig{Resolver: first{e, other.endpoint()}})
	cut.Store(true)
	_, err := stub(t, c, ServiceOptions{Timeout: 5 * time.Second})().Who(t.Context())
	wantCode(t, err, ConnectionLost, MaybeExecuted)
	e.Addr = s.addr
	kill.Store(new(func() {
		for _, c := range s.connections(nil) {
			_ = c.nc.Close()
		}
	}))
	cut.Store(true)
	idempotent := stub(t, c, ServiceOptions{Timeout: 5 * time.Second, Idempotent: []string{"*"}})
	if who, err := idempotent().Who(t.Context()); err != nil || who != "b" {
		t.Errorf("an idempotent call: %q, %v", who, err)
	}
	cut.Store(true)
	retried := context.WithValue(t.Context(), infoKey{}, &CallInfo{Attempt: 2})
	if who, err := idempotent().Who(retried); err != nil || who != "b" {
		t.Errorf("an idempotent call that is made for another's retry: %q, %v", who, err)
	}
}

// proxy puts a proxy in front of the endpoint. kill breaks it with all of its connections.
func proxy(t *testing.T, e *Endpoint) (kill func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := e.Addr
	e.Addr = l.Addr().String()
	var mu sync.Mutex
	open := []interface{ Close() error }{l}
	kill = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range open {
			_ = o.Close()
		}
	}
	t.Cleanup(kill)
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				return
			}
			mu.Lock()
			open = append(open, from, to)
			mu.Unlock()
			go pipe(from, to)
			go pipe(to, from)
		}
	}()
	return kill
}

func pipe(from, to net.Conn) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}
