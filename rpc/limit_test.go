package rpc

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLimitPending(t *testing.T) {
	l := newLimiter("auth", Limits{Limit: Limit{Pending: 3}, Methods: map[string]Limit{"slow": {Pending: 1}}})
	slow, err := l.acquire("slow", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = l.acquire("slow", 0); err == nil || !strings.Contains(err.Error(), "auth.slow: 1 calls are pending") {
		t.Fatalf("second slow call: %v", err)
	}
	other := mustTake(t, l, "quick", 0)
	mustTake(t, l, "quick", 0)
	if _, err = l.acquire("quick", 0); err == nil || !strings.Contains(err.Error(), "auth: 3 calls are pending") {
		t.Fatalf("fourth call: %v", err)
	}
	slow.done()
	mustTake(t, l, "slow", 0)
	// The service is full: the method's place must be free again afterwards.
	if _, err = l.acquire("slow", 0); err == nil {
		t.Fatal("a fifth call passed")
	}
	other.done()
	if _, err = l.acquire("slow", 0); err == nil || !strings.Contains(err.Error(), "auth.slow") {
		t.Fatalf("the method's limit: %v", err)
	}
	mustTake(t, l, "quick", 0)
}

func TestLimitRefusedByServiceGivesMethodBack(t *testing.T) {
	l := newLimiter(
		"auth",
		Limits{Limit: Limit{Pending: 1}, Methods: map[string]Limit{"m": {Pending: 1, Rate: 1, Burst: 2}}},
	)
	p := mustTake(t, l, "other", 0)
	for range 10 {
		if _, err := l.acquire("m", 0); err == nil {
			t.Fatal("the service's limit did not hold")
		}
	}
	p.done()
	mustTake(t, l, "m", 0).done()
	mustTake(t, l, "m", 0)
}

func TestLimitRate(t *testing.T) {
	tests := []struct {
		name  string
		limit Limit
		first int // that pass at once
		later int // that pass a second later
	}{
		{"ten a second, one at once", Limit{Rate: 10}, 1, 1},
		{"ten a second, five at once", Limit{Rate: 10, Burst: 5}, 5, 5},
		{"a thousand a second, a tenth at once", Limit{Rate: 1000}, 100, 100},
		{"one in two seconds", Limit{Rate: 0.5}, 1, 0},
		{"one a second, burst three", Limit{Rate: 1, Burst: 3}, 3, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLimiter("auth", Limits{Limit: tt.limit})
			const now = 17 * second
			if n := passing(l, now); n != tt.first {
				t.Errorf("%d pass at once, want %d", n, tt.first)
			}
			if n := passing(l, now+second); n != tt.later {
				t.Errorf("%d pass a second later, want %d", n, tt.later)
			}
			if n := passing(l, now+3600*second); n != tt.first {
				t.Errorf("%d pass after an hour, want %d", n, tt.first)
			}
		})
	}
}

// Evenly spaced calls pass at the rate, whatever the burst.
func TestLimitEvenRate(t *testing.T) {
	l := newLimiter("auth", Limits{Limit: Limit{Rate: 100, Burst: 1}})
	passed := 0
	for now := int64(0); now < 10*second; now += int64(time.Millisecond) {
		if p, err := l.acquire("m", now); err == nil {
			p.done()
			passed++
		}
	}
	if passed != 1000 {
		t.Fatalf("%d calls in ten seconds at 100 a second", passed)
	}
}

func TestNoLimits(t *testing.T) {
	l := newLimiter("auth", Limits{Methods: map[string]Limit{"m": {}}})
	if l != nil {
		t.Fatal("a limiter that limits nothing")
	}
	mustTake(t, l, "m", 0).done()
}

func TestLimitConcurrently(t *testing.T) {
	l := newLimiter("auth", Limits{Limit: Limit{Pending: 5}})
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 2000 {
				p, err := l.acquire("m", 0)
				if err != nil {
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				p.done()
			}
		})
	}
	wg.Wait()
	if most.Load() > 5 {
		t.Fatalf("%d at a time", most.Load())
	}
	if n := l.service.pending.Load(); n != 0 {
		t.Fatalf("%d places are not back", n)
	}
}

func mustTake(t *testing.T, l *limiter, method string, now int64) permit {
	t.Helper()
	p, err := l.acquire(method, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func passing(l *limiter, now int64) int {
	n := 0
	for {
		p, err := l.acquire("m", now)
		if err != nil {
			return n
		}
		p.done()
		n++
	}
}
