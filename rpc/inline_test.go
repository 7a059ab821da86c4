package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/rpc/internal/echo"
)

func TestPace(t *testing.T) {
	now := time.Now()
	run := func(p *inlinePolicy, n int, took time.Duration) {
		for range n {
			now = now.Add(took)
			p.record(took, now)
		}
	}
	var p inlinePolicy
	if run(&p, 1000, 5*time.Microsecond); !p.allows(now, true) {
		t.Error("a quick handler is sent to the workers")
	}
	if run(&p, 1, 100*time.Millisecond); !p.allows(now, true) {
		t.Error("one long run in a thousand bars a handler: any pause of the machine would")
	}
	for range 10 {
		run(&p, 50, 5*time.Microsecond)
		run(&p, 1, 100*time.Millisecond)
	}
	if p.allows(now, false) {
		t.Error("a handler that stalls once in fifty runs is still run by the reader")
	}
	first := p.bar
	now = p.barred
	if !p.allows(now, false) {
		t.Error("it is not tried again")
	}
	if run(&p, 2, 100*time.Millisecond); p.bar <= first || p.allows(now, false) {
		t.Errorf("barred for %v, then for %v", first, p.bar)
	}
	now = p.barred.Add(5 * longBar)
	if run(&p, 1000, 5*time.Microsecond); p.bar != 0 {
		t.Error("its past is not forgotten")
	}
	var busy inlinePolicy
	run(&busy, 1000, 30*time.Microsecond)
	if busy.allows(now, true) || !busy.allows(now, false) {
		t.Error("30 µs of work belong in the reader only while nothing waits behind")
	}
}

// The reader runs the first call of a method that blocks. Other calls on the connection are hardly
// delayed, and its cancellation is read.
func TestABlockedReaderIsRelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "a"}, l)
		c := client(t, ClientConfig{Dial: l.dial}, s.endpoint())
		call := stub(t, c, ServiceOptions{Timeout: time.Hour})
		if _, err := call().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		slow := make(chan error, 1)
		go func() {
			_, err := call().Sleep(ctx, time.Hour.Milliseconds())
			slow <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if who, err := call().Who(t.Context()); err != nil || who != "a" {
			t.Fatal(who, err)
		}
		if took := time.Since(begin); took > 3*watchdogEvery {
			t.Errorf("a call waited %v behind a blocked one", took)
		}
		cancel()
		if err := <-slow; CodeOf(err) != Canceled {
			t.Error(err)
		}
		synctest.Wait()
		if n := s.handler.canceled.Load(); n != 1 {
			t.Errorf("the cancellation has ended %d handlers' contexts, want 1", n)
		}
	})
}

// While calls come one by one the watchdog looks less often, and as before once a call has waited
// behind another.
func TestTheWatchLooksLessOftenForALoneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "a"}, l)
		c := client(t, ClientConfig{Dial: l.dial}, s.endpoint())
		call := stub(t, c, ServiceOptions{Timeout: time.Hour})
		for range 2 * watchdogRest {
			if _, err := call().Who(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(watchdogEvery)
		}
		s.mu.Lock()
		for conn := range s.conns {
			if state := conn.workers.inline.state.Load(); state != watchdogSlow {
				t.Errorf("the watch is in state %d", state)
			}
		}
		s.mu.Unlock()
		go call().Sleep(t.Context(), time.Hour.Milliseconds())
		synctest.Wait()
		begin := time.Now()
		if _, err := call().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > watchdogAlone+watchdogEvery {
			t.Errorf("a call waited %v behind a blocked one", took)
		}
	})
}

// Quick and slow handlers, cancellations and time-outs on one connection: every answer belongs to
// its call, and no state is left behind.
func TestHandOverUnderStress(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	c := client(t, ClientConfig{}, s.endpoint())
	call := stub(t, c, ServiceOptions{Timeout: 10 * time.Second, Retries: new(0), Breaker: Breaker{Off: true}})
	hurried := stub(t, c, ServiceOptions{Timeout: 3 * time.Millisecond, Retries: new(0), Breaker: Breaker{Off: true}})
	var wg sync.WaitGroup
	var done atomic.Int64
	for w := range 32 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 150 {
				n, err := w<<16+i, error(nil)
				switch k := rng.IntN(20); {
				case k < 14:
					var m *echo.Message
					if m, err = call().Echo(t.Context(), message(n)); err == nil && m.Number != int64(n) {
						t.Errorf("call %d got the answer to %d", n, m.Number)
					}
				case k < 17:
					millis := rng.Int64N(6)
					var got int64
					if got, err = call().Sleep(t.Context(), millis); err == nil && got != millis {
						t.Errorf("slept %d, want %d", got, millis)
					}
				case k < 19:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(4000))*time.Microsecond)
					_, err = call().Sleep(ctx, rng.Int64N(6))
					cancel()
					if code := CodeOf(err); code == DeadlineExceeded || code == Canceled {
						err = nil
					}
				default:
					if _, err = hurried().Sleep(t.Context(), 20); CodeOf(err) == DeadlineExceeded {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("call %d: %v", n, err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	eventually(t, "no call is left on the server", func() bool { return s.Stats().Running == 0 })
	t.Logf("%d calls", done.Load())
}

// A connection that was busy and is idle holds at most its large buffer.
func TestConnectionsThatRestAreCheap(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	call := frames(t)["header-binary"]
	const n = 500
	before := memtest.Held()
	for range n {
		nc := send(t, s.addr, bytes.Repeat(call, 40)) // enough to use the large buffer
		for answers := 0; answers < 40; answers++ {
			head := make([]byte, 4)
			if _, err := io.ReadFull(nc, head); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head))); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "every call has ended", func() bool { return s.Stats().Running == 0 })
	if each := (memtest.Held() - before) / n; each > 96<<10 {
		t.Errorf("%d bytes for each connection", each)
	} else {
		t.Logf("%d bytes for each connection", each)
	}
}

// A TLS client that sends and never reads is delayed like any other.
func TestTLSPeerThatNeverReads(t *testing.T) {
	ca, pool := authority(t)
	s := serve(
		t,
		ServerConfig{
			Sizes: Sizes{Queue: 4 << 20},
			TLS:   &tls.Config{Certificates: []tls.Certificate{ca(t, "127.0.0.1")}},
		},
		&handler{},
	)
	nc, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	neverRead(t, nc)
}

// A lone caller that reads for itself ends in time, whatever comes, and the next one finds the
// connection in order.
func TestALoneCallerEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "a"}, l)
		w := &watcher{}
		c := client(t, ClientConfig{Dial: l.dial, Watcher: w}, s.endpoint())
		call := stub(
			t,
			c,
			ServiceOptions{Timeout: 100 * time.Millisecond, Retries: new(0), Breaker: Breaker{Off: true}},
		)
		lone := func() {
			for range 2 * soloReplies { // until the resident has left reading to the caller
				if who, err := call().Who(context.Background()); err != nil || who != "a" {
					t.Fatal(who, err)
				}
			}
		}
		lone()
		begin := time.Now()
		_, err := call().Sleep(context.Background(), 1000)
		if CodeOf(err) != DeadlineExceeded { // by the caller's clock, or by the server's answer in the same moment
			t.Error(err)
		}
		if took := time.Since(begin); took < 100*time.Millisecond || took > 100*time.Millisecond+2*sweepPeriod {
			t.Errorf("a time-out of 100 ms took %v", took)
		}
		lone()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		begin = time.Now()
		if _, err := call().Sleep(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begin); took > 20*time.Millisecond+2*sweepPeriod {
			t.Errorf("a context that ended after 20 ms was noticed after %v", took)
		}
		lone()
		s.Leave()
		time.Sleep(3 * sweepPeriod)
		if _, _, n := w.counts(); n != 1 {
			t.Errorf("told %d times that the server is leaving, want once, without a call", n)
		}
	})
}

// When the caller that reads has got its reply, the connection is still read for callers that wait.
func TestReadingIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{name: "a"}, l)
		c := client(t, ClientConfig{Dial: l.dial}, s.endpoint())
		call := stub(t, c, ServiceOptions{Timeout: time.Minute})
		for round := range int64(20) {
			for range 2 * soloReplies {
				if _, err := call().Who(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			begin := time.Now()
			for i := range int64(5) {
				wg.Go(func() {
					if got, err := call().Sleep(context.Background(), 10*(i*round%5)); err != nil ||
						got != 10*(i*round%5) {
						t.Error(got, err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(begin); took > 60*time.Millisecond {
				t.Errorf("sleeps of at most 40 ms took %v", took)
			}
		}
	})
}
