package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/rpc/internal/echo"
)

func TestFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Go(t.Context(), func(ctx context.Context) (int, error) {
			<-time.After(time.Second)
			return 7, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the end: %v", err)
		}
		<-f.Done()
		for range 2 {
			if n, err := f.Wait(t.Context()); n != 7 || err != nil {
				t.Error(n, err)
			}
		}
	})
}

// TestPromise: a handler that has returned answers from elsewhere, once, in all the ways in which a call can end.
func TestPromise(t *testing.T) {
	h := &feedHandler{promise: make(chan *Promise[string], 1)}
	s := serveFeed(t, ServerConfig{}, h)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	later := func(ctx context.Context, text string) *Future[string] {
		return Go(ctx, func(ctx context.Context) (string, error) { return echo.NewFeedClient(tc).Later(ctx, text) })
	}
	if text, err := later(ctx, "at once").Wait(ctx); text != "now" || err != nil {
		t.Error(text, err)
	}
	var refusal *echo.Refusal
	if _, err := later(ctx, "refuse").Wait(ctx); !errors.As(err, &refusal) {
		t.Errorf("a declared exception of the handler: %v", err)
	}
	_, err := later(ctx, "panic").Wait(ctx)
	wantCode(t, err, HandlerPanicked, WasExecuted)

	calls := make([]*Future[string], 10)
	promises := make([]*Promise[string], len(calls))
	for i := range calls {
		calls[i] = later(ctx, "wait")
		promises[i] = <-h.promise
	}
	eventually(t, "all handlers have returned", func() bool { return s.Stats().Running == len(calls) })
	for i, p := range promises {
		switch {
		case i == 3:
			p.Fail(&echo.Refusal{Why: "three"})
		case i == 4:
			p.Fail(errors.New("undeclared"))
		case !p.Set(fmt.Sprint(i)):
			t.Error("the first answer does not count")
		}
		if p.Set("again") {
			t.Error("a second answer counts")
		}
	}
	for i, f := range calls {
		switch text, err := f.Wait(ctx); i {
		case 3:
			if !errors.As(err, &refusal) || refusal.Why != "three" {
				t.Errorf("a declared exception: %v", err)
			}
		case 4:
			wantCode(t, err, HandlerFailed, WasExecuted)
		default:
			if text == "" || err != nil {
				t.Error(text, err)
			}
		}
	}
	leaving, cancel := context.WithCancel(ctx)
	f := later(leaving, "wait")
	p := <-h.promise
	cancel()
	_, err = f.Wait(ctx)
	wantCode(t, err, Canceled, MaybeExecuted)
	eventually(t, "the call has ended with its caller", func() bool { return !p.Set("too late") })
	rested(t, s, c, h)
}

func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := func(pause time.Duration, count int, end error) func(context.Context, Sender[int]) error {
			return func(ctx context.Context, out Sender[int]) error {
				for n := range count {
					select {
					case <-time.After(pause):
					case <-ctx.Done():
						return ctx.Err()
					}
					if err := out.Send(ctx, n); err != nil {
						return fmt.Errorf("send: %w", err)
					}
				}
				return end
			}
		}
		refusal := &echo.Refusal{Why: "no"}
		for _, c := range []struct {
			what  string
			pause time.Duration
			count int
			end   error
			want  string
			err   error
		}{
			{"full", 0, 100, nil, "[0 1 2]", nil},
			{"the first has come", 400 * time.Millisecond, 100, nil, "[0]", nil},
			{"items come slowly, but together", 15 * time.Millisecond, 100, nil, "[0 1 2]", nil},
			{"nothing came", 5 * time.Second, 100, nil, "[]", nil},
			{"the stream has ended", 0, 2, nil, "[0 1]", nil},
			{"a declared exception", 0, 0, refusal, "[]", refusal},
		} {
			items, err := Page(t.Context(), 3, time.Second, numbers(c.pause, c.count, c.end))
			if fmt.Sprint(items) != c.want || items == nil || !errors.Is(err, c.err) {
				t.Errorf("%s: %v, %v", c.what, items, err)
			}
		}
		begin := time.Now()
		slow, err := Page(t.Context(), 3, 10*time.Second, numbers(time.Second, 9, nil))
		if took := time.Since(begin); len(slow) != 1 || err != nil || took > 1100*time.Millisecond {
			t.Errorf("after %v: %v, %v", took, slow, err)
		}
		begin = time.Now()
		if items, err := Page(t.Context(), 1<<30, time.Hour, numbers(0, 5000, nil)); len(items) != 1000 || err != nil {
			t.Errorf("a client that wants all at once gets %d items, %v", len(items), err)
		}
		items, err := Page(t.Context(), 1<<30, time.Hour, numbers(time.Hour, 1, nil))
		if len(items) != 0 || err != nil {
			t.Errorf("a client that would wait for an hour gets %d items, %v", len(items), err)
		}
		if took := time.Since(begin); took > 31*time.Second {
			t.Errorf("pages held their handlers for %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Page(ctx, 3, time.Second, numbers(time.Second, 1, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller has left: %v", err)
		}
	})
}
