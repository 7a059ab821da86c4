package skerry

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// fakeFeed opens streams of the numbers behind a cursor, which fail as the test says.
type fakeFeed struct {
	cursor  int
	openErr func() error // of the next opening
	spoil   func(*fakeLink)
	open    []*fakeLink // that are not closed
	most    int         // open ones at a time
	opened  int
}

type fakeLink struct {
	feed   *fakeFeed
	at     int
	end    int   // it ends behind this number, with why
	why    error // nil: it then waits for ever
	moving chan struct{}
	moved  int // moving is closed at this number; 0: never
	closed atomic.Bool
	ctx    context.Context
}

func (f *fakeFeed) subscribe(ctx context.Context) *Subscription[int] {
	return subscribe(ctx, "feed.watch", slog.New(slog.DiscardHandler), func(n int) { f.cursor = n },
		func(ctx context.Context) (link[int], error) {
			time.Sleep(time.Millisecond)
			if f.openErr != nil {
				if err := f.openErr(); err != nil {
					return nil, err
				}
			}
			l := &fakeLink{feed: f, at: f.cursor, moving: make(chan struct{}), ctx: ctx}
			f.opened++
			if f.spoil != nil {
				f.spoil(l)
			}
			f.open = append(f.open, l)
			open := 0
			for _, l := range f.open {
				if !l.closed.Load() {
					open++
				}
			}
			f.most = max(f.most, open)
			return l, nil
		})
}

func (l *fakeLink) RecvUntil(ctx context.Context, until <-chan struct{}) (int, bool, error) {
	select {
	case <-until:
		return 0, false, nil
	default:
	}
	switch {
	case l.ctx.Err() != nil:
		return 0, false, &rpc.Error{Code: rpc.Canceled, Err: l.ctx.Err()}
	case l.closed.Load():
		return 0, false, errors.New("received from a closed stream")
	}
	if l.end > 0 && l.at >= l.end {
		if l.why != nil {
			return 0, false, l.why
		}
		select {
		case <-until:
			return 0, false, nil
		case <-ctx.Done():
			return 0, false, &rpc.Error{Code: rpc.Canceled, Err: ctx.Err()}
		case <-l.ctx.Done():
			return 0, false, &rpc.Error{Code: rpc.Canceled, Err: l.ctx.Err()}
		}
	}
	if l.at++; l.at == l.moved {
		close(l.moving)
	}
	return l.at, true, nil
}

func (l *fakeLink) Moving() <-chan struct{} { return l.moving }
func (l *fakeLink) Instance() string        { return "fake" }
func (l *fakeLink) Close()                  { l.closed.Store(true) }

func lost(c rpc.Code) error { return &rpc.Error{Code: c, Err: errors.New("test")} }

// inOrder fails the test unless the numbers up to last come, each once and in order.
func inOrder(t *testing.T, s *Subscription[int], last int) {
	t.Helper()
	for want := 1; want <= last; want++ {
		got, err := s.Recv(t.Context())
		if err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
}

// TestFollowPlaysItsTroubles: whatever ends streams and openings, every number comes once and in order, and no more
// than two streams are open at a time.
func TestFollowPlaysItsTroubles(t *testing.T) {
	passing := []rpc.Code{rpc.ConnectionLost, rpc.Draining, rpc.Moved, rpc.Unreachable, rpc.NoInstance, rpc.Overloaded,
		rpc.VersionUnavailable, rpc.SlowReader}
	openings := 0
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			f := &fakeFeed{}
			f.openErr = func() error {
				if rng.IntN(3) == 0 {
					return lost(passing[rng.IntN(len(passing))])
				}
				return nil
			}
			f.spoil = func(l *fakeLink) {
				l.end, l.why = l.at+rng.IntN(30), lost(passing[rng.IntN(len(passing))])
				switch rng.IntN(4) {
				case 0:
					close(l.moving) // it is leaving already
				case 1, 2:
					l.moved = l.at + 1 + rng.IntN(20)
				}
			}
			s := f.subscribe(t.Context())
			inOrder(t, s, 500)
			s.Close()
			if _, err := s.Recv(t.Context()); rpc.CodeOf(err) != rpc.Canceled {
				t.Errorf("after Close: %v", err)
			}
			openings += f.opened
			if f.most > 2 {
				t.Errorf("seed %d: %d streams were open at a time", seed, f.most)
			}
		})
	}
	if openings < 5_000 {
		t.Errorf("only %d openings", openings)
	}
}

// TestFollowMovesWithoutABreak: the new stream is opened before the old one is closed, which goes on while nothing
// can be opened.
func TestFollowMovesWithoutABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFeed{spoil: func(l *fakeLink) { l.moved = 5 }}
		s := f.subscribe(t.Context())
		inOrder(t, s, 5)
		failed := 0
		f.openErr = func() error {
			if failed++; failed > 3 {
				return nil
			}
			return lost(rpc.NoInstance)
		}
		first := f.open[0]
		for want := 6; failed < 4; want++ {
			if got, err := s.Recv(t.Context()); err != nil || got != want {
				t.Fatalf("got %d, %v, want %d", got, err, want)
			}
			time.Sleep(10 * time.Millisecond)
			if failed < 3 && first.closed.Load() {
				t.Fatal("the old stream was closed too early")
			}
		}
		if !first.closed.Load() || f.opened != 2 {
			t.Errorf("the old stream is closed: %v; %d openings", first.closed.Load(), f.opened)
		}
		s.Close()
	})
}

// TestFollowEnds: what ends a subscription, and what ends only a wait.
func TestFollowEnds(t *testing.T) {
	declared := wire.NewOrderRefused()
	for _, test := range []struct {
		name string
		why  error
		want func(error) bool
	}{
		{"the provider's end", io.EOF, func(err error) bool { return err == io.EOF }},
		{"a declared exception", declared, func(err error) bool { return err == error(declared) }},
		{"a panic", lost(rpc.HandlerPanicked), func(err error) bool { return rpc.CodeOf(err) == rpc.HandlerPanicked }},
		{"no access", lost(rpc.AccessDenied), func(err error) bool { return rpc.CodeOf(err) == rpc.AccessDenied }},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeFeed{spoil: func(l *fakeLink) { l.end, l.why = 3, test.why }}
			s := f.subscribe(t.Context())
			inOrder(t, s, 3)
			for range 2 {
				if _, err := s.Recv(t.Context()); !test.want(err) {
					t.Errorf("%s: %v", test.name, err)
				}
			}
			if f.opened != 1 {
				t.Errorf("%s: opened %d times", test.name, f.opened)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // an end while moving is the handler's good point
		f := &fakeFeed{}
		f.spoil = func(l *fakeLink) {
			if f.opened == 1 {
				l.moved, l.end, l.why = 3, 3, io.EOF
			}
		}
		s := f.subscribe(t.Context())
		inOrder(t, s, 10)
		s.Close()
	})
	synctest.Test(t, func(t *testing.T) { // a wait ends by its context, and nothing is lost
		f := &fakeFeed{openErr: func() error { return lost(rpc.NoInstance) }}
		s := f.subscribe(t.Context())
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Millisecond)
			if _, err := s.Recv(ctx); rpc.CodeOf(err) != rpc.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		f.openErr = nil
		inOrder(t, s, 100)
		f.open[0].end = 100
		go func() { time.Sleep(time.Second); s.Close() }()
		for _, err := range s.All(t.Context()) {
			if rpc.CodeOf(err) != rpc.Canceled {
				t.Errorf("got %v", err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // the subscription's own context
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := &fakeFeed{spoil: func(l *fakeLink) { l.end = 1 }}
		s := f.subscribe(ctx)
		inOrder(t, s, 1)
		if _, err := s.Recv(t.Context()); rpc.CodeOf(err) != rpc.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

// ticker serves the numbers behind a cursor as a stream, by the generated code of the framework's own service.
type ticker struct {
	last   int64 // after it the stream ends; 0: never
	opened atomic.Int64
}

func (k *ticker) processor() thrift.TProcessor {
	result := func(b []byte) thrift.TStruct { return &wire.InternalReportResult{Success: b} }
	return rpc.NewStreamProcessor(nil, rpc.ServerStreamMethod("report", wire.NewInternalReportArgs, k.watch, result))
}

func (k *ticker) watch(ctx context.Context, a *wire.InternalReportArgs, out rpc.Sender[[]byte]) error {
	k.opened.Add(1)
	for n := a.Round + 1; k.last == 0 || n <= k.last; n++ {
		item := make([]byte, 256) // so that the window is a small part of the test
		binary.BigEndian.PutUint64(item, uint64(n))
		if err := out.Send(ctx, item); err != nil {
			return err
		}
	}
	return nil
}

func tick(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

func followTicks(ctx context.Context, n *Node) *Subscription[[]byte] {
	return Follow(ctx, n, "ticker", "report", &wire.InternalReportArgs{}, wire.NewInternalReportResult,
		func(b []byte, a *wire.InternalReportArgs) { a.Round = tick(b) })
}

// relay forwards connections to a node, until they are cut.
type relay struct {
	l  net.Listener
	to atomic.Pointer[net.TCPAddr]

	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); r.cut(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", r.to.Load().String())
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() { io.Copy(pair[0], pair[1]); in.Close(); out.Close() })
			}
		}
	})
	return r
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// TestFollowOnTheLAN: over 100,000 items, while connections are cut and instances stop and start again, every item
// comes once and in order.
func TestFollowOnTheLAN(t *testing.T) {
	const last, troubles = 105_000, 20
	site := lanSite(t)
	site.StateDir = "none"
	site.Stop = config.Stop{Grace: time.Millisecond, Drain: 5 * time.Second}
	k := &ticker{last: last}
	type place struct {
		*relay
		node *Node
	}
	start := func(p *place) (err error) {
		c := site
		c.Service = config.Service{Name: "ticker", Version: "v1", Advertise: p.l.Addr().String()}
		if p.node, err = Open(t.Context(), c, quiet()); err != nil {
			return err
		}
		p.to.Store(p.node.offers.addr())
		return p.node.Handle(t.Context(), "ticker", k.processor())
	}
	places := []*place{{relay: newRelay(t)}, {relay: newRelay(t)}}
	for _, p := range places {
		must(t, "start", start(p))
		t.Cleanup(func() { p.node.Close() })
	}
	sub := followTicks(t.Context(), open(t, site))
	next, restarted := int64(1), make(chan error, 1)
	restarted <- nil
	for b, err := range sub.All(t.Context()) {
		if err != nil || tick(b) != next {
			t.Fatalf("got %v, %v, want %d", b, err, next)
		}
		next++
		if n := next / (last / troubles); next%(last/troubles) != 0 {
			continue
		} else if n%2 == 0 {
			places[0].cut()
			places[1].cut()
		} else {
			select {
			case err := <-restarted:
				must(t, "stop", err)
				p := places[n/2%2]
				go func() {
					restarted <- errors.Join(p.node.Close(), start(p))
				}()
			default: // the last restart is not over
			}
		}
	}
	must(t, "the last stop", <-restarted)
	if next != last+1 || k.opened.Load() < troubles/2 {
		t.Errorf("%d items of %d openings", next-1, k.opened.Load())
	}
	t.Logf("%d openings", k.opened.Load())
}
