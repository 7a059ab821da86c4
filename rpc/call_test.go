package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/rpc/internal/echo"
)

func TestCall(t *testing.T) {
	s := serve(t, ServerConfig{Instance: "here"}, &handler{name: "a"})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	ctx := t.Context()
	c := call()
	m, err := c.Echo(ctx, message(7))
	if err != nil || m.Number != 7 || m.Text != "text 7" || m.Tags["n"] != "7" {
		t.Fatalf("Echo: %v, %v", m, err)
	}
	if h := c.LastResponseMeta_().Headers; h["sk-v"] != "v1" || h["sk-i"] != "here" {
		t.Errorf("reply headers: %v", h)
	}
	if who, err := call().Who(ctx); err != nil || who != "a" {
		t.Errorf("an inherited method: %q, %v", who, err)
	}
	if err := call().Fail(ctx, ""); err != nil {
		t.Errorf("a void method: %v", err)
	}
	var refusal *echo.Refusal
	if err := call().Fail(ctx, "declared"); !errors.As(err, &refusal) || refusal.Why != "declared" {
		t.Errorf("a declared exception: %v", err)
	}
	wantCode(t, call().Fail(ctx, "error"), HandlerFailed, WasExecuted)
	wantCode(t, call().Fail(ctx, "abandon"), HandlerFailed, WasExecuted)
	wantCode(t, call().Fail(ctx, "panic"), HandlerPanicked, WasExecuted)
	if _, err := call().Who(ctx); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

// Calls on one connection are answered in the order in which they are ready.
func TestManyCallsOneConnection(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	slow := make(chan error, 1)
	go func() {
		_, err := call().Sleep(ctx, 60_000)
		slow <- err
	}()
	eventually(t, "the slow call has begun", func() bool { return s.handler.calls.Load() == 1 })
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := range 40 {
				n := w*1000 + i
				if m, err := call().Echo(context.Background(), message(n)); err != nil || m.Number != int64(n) {
					t.Errorf("call %d: %v, %v", n, m, err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-slow; CodeOf(err) != Canceled {
		t.Errorf("the slow call: %v", err)
	}
	if n := s.Stats(); n.Accepted != 1 {
		t.Errorf("%d connections, want 1", n.Accepted)
	}
}
