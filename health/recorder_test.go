package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/internal/run"
)

// ledger is a sink that keeps its rows, or refuses.
type ledger struct {
	mu      sync.Mutex
	err     error
	panics  bool
	batches [][]Row
}

func (l *ledger) Write(_ context.Context, rows []Row) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panics {
		panic("a sink's bug")
	}
	if l.err == nil {
		l.batches = append(l.batches, rows)
	}
	return l.err
}

func (l *ledger) set(err error, panics bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.panics = err, panics
}

func (l *ledger) calls() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		for i := range b {
			n += b[i].Calls()
		}
	}
	return n
}

var getToken = Key{Side: Client, Service: "auth", Method: "GetToken", Peer: "10.0.0.5:7000"}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRowsOfAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sink ledger
		r := NewRecorder(Config{Sinks: []Sink{&sink}, Logger: quiet()})
		g := run.NewGroup(t.Context())
		g.Go(r.Run)
		start := time.Now()
		c := r.Cell(getToken)
		c.Record(OK, time.Millisecond)
		c.Record(AppError, 2*time.Millisecond)
		c.Record(Timeout, time.Second)
		time.Sleep(30*time.Second + 1)
		c.Record(OK, time.Millisecond)
		time.Sleep(60 * time.Second)
		_ = g.Stop()

		if len(sink.batches) != 2 {
			t.Fatalf("%d batches, want 2: a period without calls writes nothing", len(sink.batches))
		}
		row := sink.batches[0][0]
		if row.Key != getToken || row.Calls() != 3 || row.Failures() != 1 || row.Max != time.Second {
			t.Errorf("first row: %+v", row)
		}
		if !row.From.Equal(start) || row.To.Sub(row.From) != 30*time.Second {
			t.Errorf("first period: %v to %v", row.From, row.To)
		}
		second := sink.batches[1][0]
		if second.Calls() != 1 || second.Max != time.Millisecond || !second.From.Equal(row.To) {
			t.Errorf("second row: %+v", second)
		}
		if all := r.Rows(); len(all) != 1 || all[0].Calls() != 4 || all[0].Max != time.Second {
			t.Errorf("live view: %+v", all)
		}
	})
}

func TestRefusedRowsGoWithTheNextPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad, good ledger
		bad.set(errors.New("database is away"), false)
		r := NewRecorder(Config{Sinks: []Sink{&bad, &good}, Logger: quiet()})
		g := run.NewGroup(t.Context())
		g.Go(r.Run)
		c := r.Cell(getToken)
		for period := range 4 {
			if period == 2 {
				bad.set(nil, true) // a panic loses nothing either
			}
			c.Record(Broken, time.Duration(period+1)*time.Millisecond)
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		if bad.calls() != 0 || good.calls() != 4 {
			t.Fatalf("refusing sink took %d, the other %d of 4", bad.calls(), good.calls())
		}
		bad.set(nil, false)
		_ = g.Stop() // the end of Run writes once more
		row := bad.batches[0][0]
		if row.Calls() != 4 || row.Max != 4*time.Millisecond || row.To.Sub(row.From) != 2*time.Minute {
			t.Errorf("merged row: %+v", row)
		}
		if len(good.batches) != 4 {
			t.Errorf("the other sink got %d batches, want 4", len(good.batches))
		}
	})
}

func TestCellsAreBounded(t *testing.T) {
	var sink ledger
	r := NewRecorder(Config{Sinks: []Sink{&sink}, MaxBytes: 10 * cellBytes, Logger: quiet()})
	for i := range 1000 {
		r.Cell(Key{Side: Server, Service: "s", Version: fmt.Sprint("v", i%50), Method: "m", Peer: fmt.Sprint(i)}).
			Record(OK, 1)
	}
	if len(r.cells) > 10 || len(r.shared) != 50 {
		t.Errorf("%d cells and %d shared ones; want at most 10, and one for each version", len(r.cells), len(r.shared))
	}
	versions := map[string]int64{}
	for _, row := range r.Rows() {
		versions[row.Version] += row.Calls()
	}
	for v, calls := range versions {
		if calls != 20 {
			t.Errorf("%d of 20 calls of %s counted", calls, v)
		}
	}
	r.flush(t.Context())
	if n := sink.calls(); len(versions) != 50 || n != 1000 {
		t.Errorf("%d versions, and %d of 1000 calls reached the sink", len(versions), n)
	}
}

// MaxBytes bounds memory: long names and many latencies count, and the sum is about the memory of
// the process.
func TestMemoryOfCells(t *testing.T) {
	const limit = 2 << 20
	for name, fill := range map[string]func(r *Recorder, i int){
		"long names": func(r *Recorder, i int) {
			r.Cell(Key{Side: Server, Service: "s", Peer: strings.Repeat("x", 4000) + fmt.Sprint(i)}).Record(OK, 1)
		},
		"many latencies": func(r *Recorder, i int) {
			for octave := range octaves {
				r.Cell(Key{Side: Server, Service: "s", Peer: fmt.Sprint(i)}).Record(OK, time.Microsecond<<octave)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := memtest.Held()
			r := NewRecorder(Config{Sinks: []Sink{&ledger{err: errors.New("away")}}, MaxBytes: limit, Logger: quiet()})
			for i := range 20_000 {
				fill(r, i)
			}
			r.flush(t.Context())
			held := memtest.Held() - before
			if held > limit*3/2 || len(r.cells) < 50 {
				t.Errorf("%d cells take %d bytes, the limit is %d", len(r.cells), held, limit)
			}
			if sum := r.bytes.Load(); sum > limit+64<<10 {
				t.Errorf("%d bytes are counted", sum)
			}
			runtime.KeepAlive(r)
		})
	}
}

// A sink that fails for long while new keys come uses bounded memory, and no call is lost.
func TestPendingIsBounded(t *testing.T) {
	sink := ledger{err: errors.New("away")}
	r := NewRecorder(Config{Sinks: []Sink{&sink}, MaxBytes: 64 << 10, Logger: quiet()})
	const rounds, each = 100, 20
	for i := range rounds {
		for n := range each {
			r.Cell(Key{Side: Server, Service: "s", Version: "v1", Peer: fmt.Sprint(i, n)}).Record(OK, 1)
		}
		for range idlePeriods + 1 {
			r.flush(t.Context())
		}
	}
	if n := len(r.outlets[0].pending); n > 64<<10/pendingBytes+1 {
		t.Errorf("%d keys are pending", n)
	}
	sink.set(nil, false)
	r.flush(t.Context())
	if n := sink.calls(); n != rounds*each {
		t.Errorf("%d of %d calls reached the sink", n, rounds*each)
	}
}

// A key that is a part of a large string does not keep that string in memory.
func TestKeysAreCopies(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	r := NewRecorder(Config{Logger: quiet()})
	r.Cell(Key{Side: Server, Service: large[:3], Method: large[3:6], Peer: large[6:9], Version: large[9:12]}).
		Record(OK, 1)
	begin := uintptr(unsafe.Pointer(unsafe.StringData(large)))
	for k := range r.cells {
		for _, s := range []string{k.Service, k.Method, k.Peer, k.Version} {
			if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); begin <= at && at < begin+uintptr(len(large)) {
				t.Errorf("%q is a part of what it was cut from", s)
			}
		}
	}
}

func TestIdleCellsMakeRoomWithoutLoss(t *testing.T) {
	var sink ledger
	r := NewRecorder(Config{Sinks: []Sink{&sink}, MaxBytes: 1, Logger: quiet()})
	held := r.Cell(getToken)
	held.Record(OK, 1)
	for range idlePeriods + 1 {
		r.flush(t.Context())
	}
	other := getToken
	other.Peer = "10.0.0.6:7000"
	r.Cell(other).Record(OK, 1)
	held.Record(OK, 1) // by a caller that kept its pointer
	r.flush(t.Context())
	if r.cells[other] == nil || r.cells[getToken] != nil {
		t.Error("the idle cell did not make room")
	}
	if n := sink.calls(); n != 3 {
		t.Errorf("%d of 3 calls reached the sink", n)
	}
}

func TestNilCountsNothing(t *testing.T) {
	var r *Recorder
	r.Cell(getToken).Record(OK, time.Second)
	if rows := r.Rows(); rows != nil {
		t.Errorf("rows of nothing: %v", rows)
	}
}

// Every call is counted exactly once while cells are read, written and evicted.
func TestConcurrentCalls(t *testing.T) {
	var sink ledger
	r := NewRecorder(Config{Sinks: []Sink{&sink}, MaxBytes: 8 * cellBytes, Period: time.Millisecond, Logger: quiet()})
	g := run.NewGroup(t.Context())
	g.Go(r.Run)
	const workers, each = 8, 5000
	calls := run.NewGroup(t.Context())
	for w := range workers {
		calls.Go(func(context.Context) error {
			for i := range each {
				k := getToken
				k.Peer = fmt.Sprint(w, i/500)
				r.Cell(k).Record(Outcome(i%outcomeCount), time.Duration(i)*time.Microsecond)
				if i%1000 == 0 {
					r.Rows()
				}
			}
			return nil
		})
	}
	_ = calls.Wait()
	_ = g.Stop()
	if n := sink.calls(); n != workers*each {
		t.Errorf("sink took %d of %d calls", n, workers*each)
	}
}
