package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestOpenDeadline: an opening ends at its limit, later when TCP was slow, and at once with the
// surrounding context.
func TestOpenDeadline(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(ctx context.Context, cancel func())
		took time.Duration
		err  error
	}{
		{"nothing happens", func(context.Context, func()) {}, 500 * time.Millisecond, context.DeadlineExceeded},
		{"a LAN connects", func(ctx context.Context, _ func()) { extendOpen(ctx, 100*time.Microsecond) },
			500*time.Millisecond + openTrips*100*time.Microsecond, context.DeadlineExceeded},
		{"a radio link connects", func(ctx context.Context, _ func()) {
			time.Sleep(400 * time.Millisecond)
			extendOpen(ctx, 400*time.Millisecond)
		}, 500*time.Millisecond + openTrips*400*time.Millisecond, context.DeadlineExceeded},
		{"it is given up", func(_ context.Context, cancel func()) { time.Sleep(time.Millisecond); cancel() },
			time.Millisecond, context.Canceled},
		{"it connects too late", func(ctx context.Context, _ func()) {
			time.Sleep(600 * time.Millisecond)
			extendOpen(ctx, 600*time.Millisecond)
		}, 500 * time.Millisecond, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := WithOpenDeadline(t.Context(), 500*time.Millisecond)
				defer cancel()
				begun := time.Now()
				go test.do(ctx, cancel)
				<-ctx.Done()
				if took := time.Since(begun); took != test.took || !errors.Is(ctx.Err(), test.err) {
					t.Errorf("ended after %v with %v, want %v and %v", took, ctx.Err(), test.took, test.err)
				}
				time.Sleep(time.Second) // the surrounding context ends as well
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		around, over := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer over()
		ctx, cancel := WithOpenDeadline(around, time.Second)
		defer cancel()
		begun := time.Now()
		<-ctx.Done()
		if took := time.Since(begun); took != 50*time.Millisecond || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("the context around it ended after 50 ms, it after %v with %v", took, ctx.Err())
		}
	})
}
