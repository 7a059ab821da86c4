package rpc

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleEvents: an end wakes every waiting goroutine at once.
func TestIdleEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e idleEvents
		var running atomic.Int64
		running.Store(2)
		idle := func() bool { return running.Load() == 0 }
		begun := time.Now()
		woken := make(chan time.Duration)
		for range 3 {
			go func() {
				if err := e.await(t.Context(), idle); err != nil {
					t.Error(err)
				}
				woken <- time.Since(begun)
			}()
		}
		for range 2 {
			time.Sleep(time.Second)
			running.Add(-1)
			e.announce()
		}
		for range 3 {
			if took := <-woken; took != 2*time.Second {
				t.Errorf("woken after %v, want 2s", took)
			}
		}
		running.Store(1)
		cause := errors.New("no more time")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if err := e.await(ctx, idle); !errors.Is(err, cause) {
			t.Errorf("after the end of its context: %v", err)
		}
		if n := e.waiting.Load(); n != 0 {
			t.Errorf("%d goroutines are still counted", n)
		}
	})
}
