package rpc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// relay is a server on a Unix socket that passes on the calls of every service.
type relay struct {
	*Server
	path string
	seen func(ctx context.Context, info *CallInfo, args *Raw)
	done chan error
}

func serveRelay(t *testing.T, cfg ServerConfig, to thrift.TClient, path string) *relay {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Server: s, path: path, done: make(chan error, 1)}
	s.HandleUnknown(func(ctx context.Context, info *CallInfo, args *Raw) (*Raw, error) {
		if r.seen != nil {
			r.seen(ctx, info, args)
		}
		if info.OneWay {
			_, err := to.Call(ctx, info.Method, args, nil)
			return nil, err
		}
		result := &Raw{}
		_, err := to.Call(ctx, info.Method, args, result)
		return result, err
	})
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "relay.sock") }

// dialUnix connects a stock client to a Unix socket.
func dialUnix(t testing.TB, k stock, path string) (in, out thrift.TProtocol) {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	trans, err := k.transport.GetTransport(
		thrift.NewTSocketFromConnConf(nc, &thrift.TConfiguration{SocketTimeout: 10 * time.Second}),
	)
	if err != nil {
		t.Fatal(err)
	}
	in = k.encoding.GetProtocol(trans)
	if out = in; k.protocol != "header" {
		out = k.encoding.GetProtocol(trans)
	}
	return in, out
}

// serveStock serves h by a stock server with one protocol.
func serveStock(t *testing.T, k stock, h *handler) *Endpoint {
	t.Helper()
	sock, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err == nil {
		err = sock.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(h), sock, k.transport, k.encoding)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve() })
	t.Cleanup(func() { _ = server.Stop(); serving.Wait() })
	return &Endpoint{ID: "stock", Service: "echo", Addr: sock.Addr().String(), Protocol: k.protocol}
}

// Stock clients of every protocol call stock servers of every protocol through a relay without IDL.
func TestRawCallsPassBetweenAllProtocols(t *testing.T) {
	for i, server := range stocks() {
		h := &handler{name: "stock"}
		c := client(t, ClientConfig{}, serveStock(t, server, h))
		to, err := c.Service("echo", ServiceOptions{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r := serveRelay(t, ServerConfig{}, to, socketPath(t))
		for k, from := range stocks() {
			t.Run(from.protocol+" to "+server.protocol, func(t *testing.T) {
				in, out := dialUnix(t, from, r.path)
				large := 200 << 10
				if i == k { // both ways through every protocol
					large = 5 << 20
				}
				tc := thrift.NewTStandardClient(in, thrift.NewTMultiplexedProtocol(out, "echo"))
				passes(t, echo.NewEchoClient(tc), large)
			})
		}
	}
}

// passes makes calls of each kind that the stock Go client makes, one of them with a large text.
func passes(t *testing.T, c *echo.EchoClient, size int) {
	t.Helper()
	ctx := t.Context()
	for i := range 5 {
		sent := &echo.Message{
			Text:   "t",
			Number: int64(i),
			Parts:  []*echo.Message{message(i)},
			Tags:   map[string]string{},
		}
		if m, err := c.Echo(ctx, sent); err != nil || !m.Equals(sent) {
			t.Fatalf("Echo %d: %v, %v", i, m, err)
		}
	}
	large := make([]byte, size) // incompressible
	rand.NewChaCha8([32]byte{}).Read(large)
	if m, err := c.Echo(ctx, &echo.Message{Text: string(large)}); err != nil || m.Text != string(large) {
		t.Fatalf("%d bytes: %v", size, err)
	}
	var refusal *echo.Refusal
	if err := c.Fail(ctx, "declared"); !errors.As(err, &refusal) || refusal.Why != "declared" {
		t.Errorf("declared exception: %v", err)
	}
	var x thrift.TApplicationException
	if err := c.Fail(ctx, "error"); !errors.As(err, &x) || !strings.HasPrefix(x.Error(), "handler_failed: ") {
		t.Errorf("undeclared error: %v", err)
	}
	if who, err := c.Who(ctx); err != nil || who != "stock" {
		t.Errorf("a method of the base service: %q, %v", who, err)
	}
}

// plainMessage is a framed binary message with an empty struct.
func plainMessage(name string, kind thrift.TMessageType, seq int32, fields ...byte) []byte {
	b := []byte{0x80, 1, 0, byte(kind), 0, 0, 0, byte(len(name))}
	b = append(append(b, name...), byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq))
	b = append(append(b, fields...), 0)
	return append([]byte{0, 0, 0, byte(len(b))}, b...)
}

// meant is what a handler of HandleUnknown receives.
type meant struct{ Service, Method, Context string }

// A reply carries the bare name and the caller's number, whatever prefix the method's name had. The
// handler receives the prefix.
func TestContextStandsBeforeTheName(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	to, err := client(t, ClientConfig{}, s.endpoint()).Service("echo", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := serveRelay(t, ServerConfig{}, to, socketPath(t))
	seen := make(chan meant, 1)
	r.seen = func(_ context.Context, info *CallInfo, args *Raw) {
		seen <- meant{info.Service, info.Method, args.Context}
	}
	for name, want := range map[string]meant{
		"who":                   {Method: "who"},
		"echo:who":              {Service: "echo", Method: "who"},
		"ctx=abc.12;echo:who":   {Service: "echo", Method: "who", Context: "abc.12"},
		"ctx=abc;who":           {Method: "who", Context: "abc"},
		"ctx=;who":              {Method: "who"},
		"x;ctx=abc;echo:who":    {Service: "x;ctx=abc;echo", Method: "who"},
		"ctx=a:b;echo:who;ctx=": {Service: "echo", Method: "who;ctx=", Context: "a:b"},
	} {
		nc, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(plainMessage(name, thrift.CALL, 7))
		reply := make([]byte, 12)
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := nc.Read(reply); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := <-seen
		if got != want {
			t.Errorf("%s: %+v", name, got)
		}
		rest := make([]byte, 1<<10)
		n, _ := nc.Read(rest)
		if whole := string(append(reply, rest[:n]...)); !strings.Contains(whole, want.Method+"\x00\x00\x00\x07") {
			t.Errorf("%s: reply %q", name, whole)
		}
		nc.Close()
	}
}

// A relay does not serve the framework's own services.
func TestRelayKnowsNoInternalService(t *testing.T) {
	r := serveRelay(t, ServerConfig{}, nil, socketPath(t))
	in, out := dialUnix(t, stocks()[0], r.path)
	c := echo.NewEchoClient(thrift.NewTStandardClient(in, thrift.NewTMultiplexedProtocol(out, "skerry.internal")))
	var x thrift.TApplicationException
	if _, err := c.Who(t.Context()); !errors.As(err, &x) || !strings.HasPrefix(x.Error(), "unknown_service") {
		t.Fatalf("%v", err)
	}
}

// A RawHandler's *Error keeps its code and whether the call was executed.
func TestRawHandlersErrorsAreKept(t *testing.T) {
	for _, want := range []*Error{
		{Code: Unreachable, Executed: NotExecuted, Err: errors.New("no connection")},
		{Code: HandlerFailed, Executed: MaybeExecuted, Err: errors.New("closed")},
		{Code: Overloaded, Executed: NotExecuted, Err: errors.New("busy")},
	} {
		s := serve(t, ServerConfig{}, &handler{})
		raw := RawHandler(func(context.Context, *CallInfo, *Raw) (*Raw, error) { return nil, want })
		if _, err := s.Handle("raw", "", raw); err != nil {
			t.Fatal(err)
		}
		c := client(t, ClientConfig{}, &Endpoint{ID: s.addr, Service: "raw", Addr: s.addr})
		to, err := c.Service("raw", ServiceOptions{Retries: new(int)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = echo.NewEchoClient(to).Who(t.Context())
		got := wantCode(t, err, want.Code, want.Executed)
		if !strings.Contains(got.Error(), want.Err.Error()) {
			t.Errorf("%v", got)
		}
	}
}

func readFrame(nc net.Conn) ([]byte, error) {
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	var length [4]byte
	if _, err := readFull(nc, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, int(length[2])<<8|int(length[3]))
	return readFull(nc, b)
}

func readFull(nc net.Conn, b []byte) ([]byte, error) {
	for at := 0; at < len(b); {
		n, err := nc.Read(b[at:])
		if at += n; err != nil {
			return b[:at], err
		}
	}
	return b, nil
}

// The call after a one-way call ends it when the handler has ended.
func TestCallBehindAOneWayCall(t *testing.T) {
	for _, k := range stocks() {
		t.Run(k.protocol, func(t *testing.T) {
			h := &handler{notes: make(chan string)}
			e := serveStock(t, k, h)
			e.Pool = Pool{Most: 1, Idle: time.Minute}
			c := client(t, ClientConfig{}, e)
			to, err := c.Service("echo", ServiceOptions{Timeout: 5 * time.Second, Retries: new(int)})
			if err != nil {
				t.Fatal(err)
			}
			args := rawOf(t, &echo.EchoNoteArgs{Text: "hello"})
			args.Behind = "skerry.helper"
			done := make(chan error, 1)
			go func() { _, err := to.Call(t.Context(), "note", args, nil); done <- err }()
			select {
			case err := <-done:
				t.Fatalf("the call ended before its handler: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if text := <-h.notes; text != "hello" {
				t.Errorf("%q", text)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if m, err := echo.NewEchoClient(to).Echo(t.Context(), message(1)); err != nil || m.Number != 1 {
				t.Errorf("the call after: %v, %v", m, err)
			}
		})
	}
}

// rawOf returns a struct in its encoded form.
func rawOf(t *testing.T, s thrift.TStruct) *Raw {
	t.Helper()
	m := &thrift.TMemoryBuffer{Buffer: &bytes.Buffer{}}
	if err := s.Write(t.Context(), thrift.NewTBinaryProtocolConf(m, nil)); err != nil {
		t.Fatal(err)
	}
	return &Raw{whole: m.String()}
}

// A pool of its own keeps all connections to a plain server, and refuses calls beyond them.
func TestOwnPoolIsKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := servePlain(t, l, 40, echo.NewEchoProcessor(&handler{name: "a"}))
	e := plainEndpoint(l.Addr().String())
	e.Pool = Pool{Most: 32, Idle: time.Minute}
	c := client(t, ClientConfig{}, e)
	call := stub(t, c, ServiceOptions{Timeout: 5 * time.Second, Retries: new(int)})
	var calls sync.WaitGroup
	var overloaded atomic.Int32
	for range 40 {
		calls.Go(func() {
			_, err := call().Sleep(t.Context(), 200)
			if CodeOf(err) == Overloaded && SafeToRetry(err) {
				overloaded.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := overloaded.Load(); n != 8 {
		t.Errorf("%d calls were refused, want 8", n)
	}
	if n := c.Standing(e); n != 32 || s.most.Load() != 32 {
		t.Errorf("%d connections are kept of %d", n, s.most.Load())
	}
	e.Retire()
	eventually(t, "the connections are given up", func() bool { return c.Standing(e) == 0 })
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("after Retire: %q, %v", who, err)
	}
}
