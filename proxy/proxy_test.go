package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/rpc"
)

// site returns a configuration for the nodes of one test, which meet on the loopback
// interface.
func site(t *testing.T) config.Config {
	t.Helper()
	return config.Config{
		Cluster:  "test",
		Mode:     config.ModeBroadcast,
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lab.Port(t), Key: lab.SiteKey},
		StateDir: t.TempDir(),
		Stop:     config.Stop{Grace: 300 * time.Millisecond, Drain: 5 * time.Second},
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// offer opens a node that offers a service. Its methods take a text.
func offer(t *testing.T, c config.Config, service, version string, h rpc.RawHandler) *skerry.Node {
	t.Helper()
	c.Service = config.Service{Name: service, Version: version}
	n := open(t, c)
	if err := n.Handle(t.Context(), service, h); err != nil {
		t.Fatal(err)
	}
	return n
}

func open(t *testing.T, c config.Config) *skerry.Node {
	t.Helper()
	n, err := skerry.Open(t.Context(), c, skerry.WithLogger(quiet()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// running is a running proxy.
type running struct {
	*Proxy
	stop func() error // stops the proxy politely and returns Run's error
}

func start(t *testing.T, c config.Config, programs map[string]config.Program) *running {
	t.Helper()
	c.Proxy.Programs = programs
	x, err := New(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	r := &running{Proxy: x, stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for _, g := range programs {
		eventually(t, "the proxy serves "+g.Listen, func() bool {
			s, err := Ask(t.Context(), g)
			return err == nil && s.State == serving
		})
	}
	return r
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "program.sock") }

// eventually waits, on the real clock, for the effect of another goroutine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 10 s still not: %s", what)
		}
	}
}

// echoing returns a handler that returns prefix and the method's name.
func echoing(prefix string, seen func(ctx context.Context, info *rpc.CallInfo)) rpc.RawHandler {
	return func(ctx context.Context, info *rpc.CallInfo, args *rpc.Raw) (*rpc.Raw, error) {
		if seen != nil {
			seen(ctx, info)
		}
		return rawText(prefix + info.Method)
	}
}

// rawText returns the result of a method that returns a string.
func rawText(text string) (*rpc.Raw, error) { return rpc.RawOf(&textResult{text}) }

func TestProgramCallsServicesByName(t *testing.T) {
	c := site(t)
	callers := make(chan string, 10)
	offer(t, c, "auth", "v1", echoing("auth ", func(_ context.Context, info *rpc.CallInfo) { callers <- info.Caller }))
	path := socketPath(t)
	start(t, c, map[string]config.Program{"billing": {Listen: "unix:" + path}})
	p := dialCaller(t, "unix", path)
	for range 3 {
		if text, err := p.call(t.Context(), "auth:verify", "x"); err != nil || text != "auth verify" {
			t.Fatalf("%q, %v", text, err)
		}
		if name := <-callers; name != "billing" {
			t.Errorf("the callee was called by %q", name)
		}
	}
	var x thrift.TApplicationException
	if _, err := p.call(t.Context(), "nobody:verify", "x"); !errors.As(err, &x) ||
		!strings.HasPrefix(x.Error(), "no_instance: nobody.verify (") {
		t.Errorf("a service that nobody offers: %v", err)
	}
	if _, err := p.call(t.Context(), "verify", "x"); !errors.As(err, &x) ||
		!strings.HasPrefix(x.Error(), "unknown_service: ") {
		t.Errorf("a call without a service: %v", err)
	}
}

func TestProgramIsCalledThroughItsProxy(t *testing.T) {
	c := site(t)
	program := startProgram(t, "127.0.0.1:0", 4,
		&foreignProgram{methods: map[string]func(string, string) (string, error){
			"charge": func(_, text string) (string, error) { return "charged " + text, nil },
			"fail":   func(_, _ string) (string, error) { return "", errors.New("no money") },
			"close":  func(_, _ string) (string, error) { return "", errClose },
		}})
	start(t, c, map[string]config.Program{"billing": {Listen: "unix:" + socketPath(t), Provides: []config.Provide{
		{Service: "billing", Version: "v3", Addr: program.addr, Concurrency: 3},
	}}})
	client := open(t, c).Client("billing")
	var result textResult
	meta, err := client.Call(t.Context(), "charge", &textArgument{"5"}, &result)
	if err != nil || result.text != "charged 5" || meta.Headers["sk-v"] != "v3" {
		t.Fatalf("%q, %v, %v", result.text, err, meta)
	}
	for method, want := range map[string]rpc.Error{
		"fail":    {Code: rpc.HandlerFailed, Executed: rpc.WasExecuted},
		"missing": {Code: rpc.UnknownMethod, Executed: rpc.NotExecuted},
		"close":   {Code: rpc.HandlerFailed, Executed: rpc.MaybeExecuted},
	} {
		_, err := client.Call(t.Context(), method, &textArgument{"5"}, &result)
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != want.Code || e.Executed != want.Executed {
			t.Errorf("%s: %v, want %v, %v", method, err, want.Code, want.Executed)
		}
	}
	for _, name := range program.seen() {
		if strings.HasPrefix(name, "ctx=") {
			t.Errorf("a program without a helper got %q", name)
		}
	}
}
