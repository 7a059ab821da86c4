package rpc

import (
	"testing"
	"time"
)

func TestRetryBudget(t *testing.T) {
	tests := []struct{ calls, retries int }{
		{1, 3}, {3, 3}, {15, 3}, {19, 3}, {20, 4}, {100, 20}, {1000, 200},
	}
	for _, tt := range tests {
		var b retryBudget
		for range tt.calls {
			b.begin()
		}
		got := 0
		for b.acquire() {
			got++
		}
		if got != tt.retries {
			t.Errorf("%d calls in flight: %d retries at a time, want %d", tt.calls, got, tt.retries)
		}
		b.release()
		if !b.acquire() || b.acquire() {
			t.Errorf("%d calls in flight: what was given back is not there once", tt.calls)
		}
	}
}

func TestRetryBudgetShrinks(t *testing.T) {
	var b retryBudget
	for range 100 {
		b.begin()
	}
	for range 20 {
		b.acquire()
	}
	for range 90 {
		b.end()
	}
	for i := range 17 {
		if b.acquire() {
			t.Fatalf("a retry with %d running and 10 calls in flight", 20-i)
		}
		b.release()
	}
	b.release()
	if !b.acquire() {
		t.Fatal("no third retry")
	}
}

func TestRetryPause(t *testing.T) {
	for retry, top := range map[int]time.Duration{
		1: 10 * time.Millisecond, 2: 20 * time.Millisecond, 3: 40 * time.Millisecond,
		6: 200 * time.Millisecond, 1000: 200 * time.Millisecond,
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			d := retryPause(retry)
			if d < top/2 || d > top {
				t.Fatalf("retry %d waits %v, want %v to %v", retry, d, top/2, top)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("retry %d: %d different pauses of 200", retry, len(seen))
		}
	}
}
