package skerry

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/rpc"
)

// pageFeed serves pages of the numbers behind a cursor.
type pageFeed struct {
	cursor  int
	last    atomic.Int64  // number; the test adds more
	limit   time.Duration // of a call; 0: none
	waits   bool          // for the first item of a page
	fail    func() error  // of the next page
	calls   atomic.Int64
	running atomic.Int64              // pages
	streams func() (link[int], error) // an opening by stream
}

func (f *pageFeed) page(ctx context.Context, most int, wait time.Duration) (items []int, err error) {
	f.calls.Add(1)
	f.running.Add(1)
	defer f.running.Add(-1)
	if f.limit > 0 {
		var end func()
		ctx, end = context.WithTimeout(ctx, f.limit)
		defer end()
	}
	if f.fail != nil {
		if err := f.fail(); err != nil {
			return nil, err
		}
	}
	from, last := f.cursor, int(f.last.Load())
	if from == last && wait > 0 && f.waits {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, lost(rpc.DeadlineExceeded)
			}
			return nil, lost(rpc.Canceled)
		}
	}
	for n := from + 1; n <= last && len(items) < most; n++ {
		items = append(items, n)
	}
	return items, nil
}

func (f *pageFeed) subscribe(ctx context.Context, t *testing.T, timeout time.Duration) *Subscription[int] {
	advance := func(n int) {
		if f.running.Load() != 0 {
			t.Error("the cursor moves while a page is under way")
		}
		f.cursor = n
	}
	return subscribe(ctx, "feed.watch", slog.New(slog.DiscardHandler), advance,
		func(ctx context.Context) (link[int], error) {
			if f.streams != nil {
				if l, err := f.streams(); err == nil || rpc.CodeOf(err) != rpc.Unsupported {
					return l, err
				}
			}
			return openPages(ctx, timeout, f.page)
		})
}

// TestFollowByPages: whatever fails, and however short the waits of the reader are, every item of a provider without
// streams comes once and in order.
func TestFollowByPages(t *testing.T) {
	passing := []rpc.Code{rpc.ConnectionLost, rpc.Draining, rpc.Unreachable, rpc.NoInstance, rpc.DeadlineExceeded}
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			provider := rand.New(rand.NewPCG(seed, 5))
			f := &pageFeed{waits: seed%2 == 0, limit: time.Duration(seed%3) * 300 * time.Millisecond}
			f.last.Store(50)
			f.fail = func() error {
				time.Sleep(time.Duration(provider.IntN(5)) * time.Millisecond)
				if provider.IntN(5) == 0 {
					return lost(passing[provider.IntN(len(passing))])
				}
				return nil
			}
			s := f.subscribe(t.Context(), t, time.Second)
			for want := 1; want <= 400; {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(20))*time.Millisecond)
				got, err := s.Recv(ctx)
				cancel()
				if rpc.CodeOf(err) == rpc.DeadlineExceeded || rpc.CodeOf(err) == rpc.Canceled {
					if last := f.last.Load(); int64(want) > last && last < 400 {
						f.last.Add(1 + rng.Int64N(50))
					}
					continue
				}
				if err != nil || got != want {
					t.Fatalf("seed %d: got %d, %v, want %d", seed, got, err, want)
				}
				want++
			}
			s.Close()
			if _, err := s.Recv(t.Context()); rpc.CodeOf(err) != rpc.Canceled {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// TestPagesAreAskedForCalmly: a provider that has nothing is asked twice in the time of a call when it waits, and about
// once a second when it does not, also when calls end earlier than the configuration says.
func TestPagesAreAskedForCalmly(t *testing.T) {
	for _, test := range []struct {
		name  string
		feed  *pageFeed
		calls int64 // in 100 s, at most
	}{
		{"waits", &pageFeed{waits: true}, 60},
		{"does not wait", &pageFeed{}, 210},
		{"has less time", &pageFeed{waits: true, limit: 100 * time.Millisecond}, 2000},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := test.feed.subscribe(t.Context(), t, 4*time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
			defer cancel()
			if _, err := s.Recv(ctx); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				t.Errorf("%s: %v", test.name, err)
			}
			if n := test.feed.calls.Load(); n > test.calls || n < 40 {
				t.Errorf("%s: %d calls in 100 s", test.name, n)
			}
			if s.failures > 0 {
				t.Errorf("%s: the subscription has lost its stream", test.name)
			}
			s.Close()
		})
	}
}

// TestPagesGiveWayToStreams: within a minute after an instance with streams has come, the stream is opened.
func TestPagesGiveWayToStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &pageFeed{waits: true}
		f.last.Store(10)
		streams := &fakeFeed{}
		var opened atomic.Bool
		f.streams = func() (link[int], error) {
			if !opened.Load() {
				return nil, lost(rpc.Unsupported)
			}
			l := &fakeLink{feed: streams, at: f.cursor, moving: make(chan struct{}), ctx: t.Context()}
			return l, nil
		}
		s := f.subscribe(t.Context(), t, time.Second)
		inOrder(t, s, 10)
		opened.Store(true)
		began := time.Now()
		if got, err := s.Recv(t.Context()); err != nil || got != 11 {
			t.Errorf("got %d, %v", got, err)
		}
		if took := time.Since(began); took > streamAgain+time.Second {
			t.Errorf("the stream was opened after %v", took)
		}
		s.Close()
	})
}

// TestPagesEnd: what another page would not change ends the subscription, and a first page that fails is no link.
func TestPagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &pageFeed{}
		f.last.Store(5)
		s := f.subscribe(t.Context(), t, time.Second)
		inOrder(t, s, 5)
		f.fail = func() error { return lost(rpc.HandlerFailed) }
		for range 2 {
			if _, err := s.Recv(t.Context()); rpc.CodeOf(err) != rpc.HandlerFailed {
				t.Errorf("got %v", err)
			}
		}
		f = &pageFeed{fail: func() error { return lost(rpc.UnknownMethod) }}
		if l, err := openPages(t.Context(), 0, f.page); l != nil || rpc.CodeOf(err) != rpc.UnknownMethod {
			t.Errorf("got %v, %v", l, err)
		}
	})
}
