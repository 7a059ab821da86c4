package rpc

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
)

const second = int64(time.Second)

// isOpen reports whether calls are being refused.
func (b *breaker) isOpen() bool { return b != nil && b.next.Load() != 0 }

func feed(b *breaker, now int64, n int, o health.Outcome) (last breakerChange) {
	for range n {
		if c := b.record(now, o, false); c != unchanged {
			last = c
		}
	}
	return last
}

func TestBreakerOpens(t *testing.T) {
	type batch struct {
		at time.Duration
		n  int
		o  health.Outcome
	}
	tests := []struct {
		name string
		cfg  Breaker
		fed  []batch
		open bool
	}{
		{"nothing", Breaker{}, nil, false},
		{"19 failures are too few", Breaker{}, []batch{{0, 19, health.Broken}}, false},
		{"20 failures", Breaker{}, []batch{{0, 20, health.Broken}}, true},
		{"half of 20", Breaker{}, []batch{{0, 10, health.OK}, {0, 10, health.Timeout}}, true},
		{"less than half", Breaker{}, []batch{{0, 11, health.OK}, {0, 10, health.Connect}}, false},
		{
			"spread over the window",
			Breaker{},
			[]batch{{0, 10, health.Broken}, {9 * time.Second, 10, health.Broken}},
			true,
		},
		{
			"the window has passed",
			Breaker{},
			[]batch{{0, 10, health.Broken}, {10 * time.Second, 10, health.Broken}},
			false,
		},
		{"long after", Breaker{}, []batch{{0, 19, health.Broken}, {48 * time.Hour, 19, health.Broken}}, false},
		{"declared exceptions are answers", Breaker{}, []batch{{0, 100, health.AppError}}, false},
		{
			"declared exceptions are samples",
			Breaker{},
			[]batch{{0, 100, health.AppError}, {0, 90, health.Broken}},
			false,
		},
		{"cancellations tell nothing", Breaker{}, []batch{{0, 100, health.Canceled}, {0, 19, health.Broken}}, false},
		{"refusals tell nothing", Breaker{}, []batch{{0, 50, health.Refused}, {0, 50, health.Rejected}}, false},
		{"handlers that fail", Breaker{}, []batch{{0, 20, health.Internal}}, true},
		{
			"own numbers",
			Breaker{Ratio: 10, Calls: 5, Window: time.Second},
			[]batch{{0, 9, health.OK}, {0, 1, health.Broken}},
			true,
		},
		{
			"own window",
			Breaker{Window: time.Second},
			[]batch{{0, 19, health.Broken}, {time.Second, 19, health.Broken}},
			false,
		},
		{"off", Breaker{Off: true}, []batch{{0, 100, health.Broken}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBreaker(tt.cfg)
			for _, f := range tt.fed {
				feed(b, int64(f.at)+1, f.n, f.o)
			}
			if b.isOpen() != tt.open {
				t.Fatalf("open is %v", b.isOpen())
			}
		})
	}
}

func TestBreakerTrials(t *testing.T) {
	b := newBreaker(Breaker{})
	now := 5 * second
	if got := feed(b, now, 30, health.Broken); got != opened {
		t.Fatalf("30 failures changed %v", got)
	}
	step := func(at int64, wantOK, wantTrial bool) {
		t.Helper()
		if ok, trial := b.allow(at); ok != wantOK || trial != wantTrial {
			t.Fatalf("at %v: allow is %v, %v", time.Duration(at), ok, trial)
		}
	}
	step(now, false, false)
	step(now+second-1, false, false)
	step(now+second, true, true)
	step(now+second, false, false)
	if c := b.record(now+second, health.Timeout, true); c != unchanged || !b.isOpen() {
		t.Fatal("a failed trial closed it")
	}
	step(now+2*second-1, false, false)
	step(now+2*second, true, true)
	b.record(now+2*second, health.Canceled, true)
	step(now+2*second+1, false, false)
	if c := b.record(now+2*second, health.OK, false); c != unchanged {
		t.Fatal("a call from before closed it")
	}
	step(now+3*second, true, true)
	if c := b.record(now+3*second, health.AppError, true); c != closed || b.isOpen() {
		t.Fatal("a trial that was answered did not close it")
	}
	step(now+3*second, true, false)
	if c := feed(b, now+3*second, 19, health.Broken); c != unchanged {
		t.Fatal("failures from before it closed still count")
	}
	if c := feed(b, now+3*second, 1, health.Broken); c != opened {
		t.Fatal("it does not open again")
	}
}

func TestBreakerManyCallsKeepTheRatio(t *testing.T) {
	b := newBreaker(Breaker{})
	feed(b, 1, 3<<cellBits, health.OK)
	_, calls, failures := unpackCell(b.cells[0].Load())
	if calls < cellMax/2 || failures != 0 {
		t.Fatalf("%d calls and %d failures", calls, failures)
	}
	feed(b, 1, 1000, health.Broken)
	if b.isOpen() {
		t.Fatal("1000 failures in millions opened it")
	}
}

// Under concurrency the breaker opens once, and lets one trial through each second.
func TestBreakerConcurrently(t *testing.T) {
	b := newBreaker(Breaker{})
	var opens, closes, trials atomic.Int64
	each := func(f func()) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 1000 {
					f()
				}
			})
		}
		wg.Wait()
	}
	each(func() {
		if b.record(1, health.Broken, false) == opened {
			opens.Add(1)
		}
	})
	each(func() {
		if _, trial := b.allow(2 * second); trial {
			trials.Add(1)
		}
	})
	each(func() {
		if b.record(2*second, health.OK, true) == closed {
			closes.Add(1)
		}
	})
	if opens.Load() != 1 || trials.Load() != 1 || closes.Load() != 1 {
		t.Fatalf("opened %d times, %d trials, closed %d times", opens.Load(), trials.Load(), closes.Load())
	}
}

func TestGovernanceTakesNoMemory(t *testing.T) {
	b := newBreaker(Breaker{})
	l := newLimiter(
		"auth",
		Limits{Limit: Limit{Pending: 10, Rate: 1e9}, Methods: map[string]Limit{"GetToken": {Pending: 1}}},
	)
	var g retryBudget
	n := testing.AllocsPerRun(1000, func() {
		ok, trial := b.allow(1)
		p, err := l.acquire("GetToken", 1)
		_, refused := l.acquire("GetToken", 1)
		if !ok || err != nil || refused == nil {
			t.Fatal(ok, err, refused)
		}
		g.begin()
		g.acquire()
		g.release()
		g.end()
		p.done()
		b.record(1, health.OK, trial)
	})
	if n != 0 {
		t.Fatalf("%v allocations a call", n)
	}
}

func BenchmarkBreaker(b *testing.B) {
	br := newBreaker(Breaker{})
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := int64(time.Since(start))
			_, trial := br.allow(now)
			br.record(now, health.OK, trial)
		}
	})
}
