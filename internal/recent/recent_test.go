package recent

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWindow: what is older than the window is gone, and what is in it is counted by the second in which it began.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		k := r.Kind(Key{Side: Caller, Service: "auth", Method: "verify"})
		for range 1000 {
			k.Record(time.Now(), 3*time.Millisecond, OK)
			time.Sleep(time.Second)
		}
		got := r.Last(Window)
		if !got.Whole || got.Seconds < Window || got.Seconds > Window+histSlice || len(got.Kinds) != 1 {
			t.Fatalf("%+v", got)
		}
		calls := got.Kinds[0]
		if n := calls.Sum(); n != int64(got.Seconds-1) { // none in the running second
			t.Errorf("%d calls in %d seconds", n, got.Seconds)
		}
		for i, n := range calls.PerSecond[:got.Seconds-1] {
			if n != 1 || (calls.Busy[i]-3*time.Millisecond).Abs() > busyUnit {
				t.Fatalf("second %d: %d calls, %v", i, n, calls.Busy[i])
			}
		}
		if over, about := calls.Latencies.Over(3 * time.Millisecond); over != calls.Sum() || about != 0 {
			t.Errorf("%d of %d calls took 3ms, %d about", over, calls.Sum(), about)
		}
		time.Sleep(2 * Window * time.Second)
		if got := r.Last(Window); len(got.Kinds) != 0 || len(got.Samples) != 0 {
			t.Errorf("after the window: %+v", got)
		}
	})
}

// TestYoungRecorder says for how long it has records.
func TestYoungRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		k := r.Kind(Key{Service: "auth"})
		k.Record(time.Now(), 0, Served)
		time.Sleep(40 * time.Second)
		if got := r.Last(Window); got.Whole || got.Seconds != 41 || got.Kinds[0].Sum() != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// TestOddTimes: a call with an odd time is counted nowhere else.
func TestOddTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		k := r.Kind(Key{Side: Caller, Service: "auth"})
		k.Record(r.begun.Add(-time.Hour), -time.Second, OK) // before the recorder: its first second
		time.Sleep(1000 * time.Second)
		k.Record(time.Now(), 0, 200)
		k.Record(time.Now().Add(-slots*time.Second), 0, OK) // of the lap before, in the slot of this second
		k.Record(time.Now().Add(-20*time.Second), 400*time.Hour, OK)
		got := r.Last(Window)
		if n := got.Kinds[0].Sum(); n != 2 || got.Kinds[0].Outcomes[Outcomes-1] != 1 {
			t.Errorf("%d calls: %+v", n, got.Kinds[0].Outcomes)
		}
		var none *Recorder
		if none.Kind(Key{}).Record(time.Now(), 0, 0) {
			t.Error("no recorder wants a sample")
		}
		none.Running(time.Now(), 1)
	})
}

// TestKindsAreBounded: kinds beyond the bound are counted together, and idle ones make room.
func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		first := r.Kind(Key{Service: "s0", Method: "m", Caller: "c"})
		for i := range 3 * mostKinds {
			k := r.Kind(Key{Service: fmt.Sprint("s", i), Method: "m", Caller: "c"})
			k.Record(time.Now(), 0, Served)
		}
		if n := len(r.kinds); n > mostKinds+shared+1 {
			t.Errorf("%d kinds", n)
		}
		sum, others := int64(0), int64(0)
		for _, k := range r.Last(Window).Kinds {
			sum += k.Sum()
			if k.Method == Others {
				others += k.Sum()
			}
		}
		if sum != 3*mostKinds || others != 2*mostKinds {
			t.Errorf("%d calls, %d of them among the others", sum, others)
		}
		time.Sleep(2 * Window * time.Second)
		for i := range mostKinds / 2 {
			r.Kind(Key{Service: "new", Method: fmt.Sprint(i)}).Record(time.Now(), 0, Served)
		}
		first.Record(time.Now(), 0, Served) // the call path still holds it
		kinds := r.Last(Window).Kinds
		if len(kinds) != mostKinds/2+1 {
			t.Errorf("%d kinds have calls", len(kinds))
		}
		for _, k := range kinds {
			if k.Method == Others {
				t.Errorf("%+v is among the others", k.Key)
			}
		}
	})
}

// TestBytesAreBounded: many outcomes and latencies of many kinds take no more memory than the bound says.
func TestBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		for range 12 {
			for i := range mostKinds {
				k := r.Kind(Key{Side: Caller, Service: "s", Method: fmt.Sprint(i)})
				for o := range uint8(8) {
					k.Record(time.Now(), time.Duration(math.Pow10(3+int(o)))*time.Microsecond/1000, o)
				}
			}
			time.Sleep(histSlice * time.Second)
		}
		if n := r.bytes.Load(); n > 2*mostBytes {
			t.Errorf("%d bytes", n)
		}
	})
}

// TestSamplesAreFair: at any rate the sampled calls stand for all calls, and their number is bounded.
func TestSamplesAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []int{1, 7, 300, 1500} {
			r := New()
			k := r.Kind(Key{Service: "auth", Method: "verify"})
			marked, total := 0, 0
			for second := range 60 {
				for range rate * (1 + second%3) { // bursts
					mark := ""
					if total++; rand.IntN(10) == 0 {
						marked++
						mark = "drill"
					}
					if k.Record(time.Now(), 0, Served) {
						k.Sample(time.Now(), 0, Served, &Facts{Mark: mark, Baggage: "tenant=t7"})
					}
				}
				time.Sleep(time.Second)
			}
			samples := r.Last(60).Samples
			var all, drills, squares float64
			for _, s := range samples {
				all += float64(s.Weight)
				squares += float64(s.Weight) * float64(s.Weight)
				if s.Mark == "drill" {
					drills += float64(s.Weight)
				}
			}
			error := math.Sqrt(squares) // of all
			if len(samples) > 7*sampleMost || len(samples) < min(total, 7*sampleMost/5) ||
				math.Abs(all-float64(total)) > 6*error || math.Abs(drills-float64(marked)) > 6*math.Sqrt(squares/10)+1 {
				t.Errorf("rate %d: %d samples stand for %v of %d calls, %v of %d drills (%v)", rate, len(samples), all,
					total, drills, marked, error)
			}
		}
	})
}

// TestLongTexts: a sample keeps no long text.
func TestLongTexts(t *testing.T) {
	r := New()
	k := r.Kind(Key{Service: "auth"})
	long := strings.Repeat("x", 1<<20)
	k.Record(time.Now(), 0, Served)
	k.Sample(time.Now(), 0, Served, &Facts{Baggage: long, Mark: long, Trace: long})
	s := r.Last(Window).Samples[0]
	if !s.Cut || s.Baggage != "" || len(s.Mark) > wordMost || len(s.Trace) > wordMost {
		t.Errorf("%v, %d, %d", s.Cut, len(s.Baggage), len(s.Mark))
	}
}

// TestRunning: of each second the largest number stays.
func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		for _, n := range []int64{3, 9, 4} {
			r.Running(time.Now(), n)
		}
		time.Sleep(time.Second)
		r.Running(time.Now(), 2)
		if got := r.Last(Window).Running; len(got) != 2 || got[0] != 9 || got[1] != 2 {
			t.Errorf("%v", got)
		}
	})
}

// TestLatencyPlaces: a latency of two digits is the lower bound of its place, so none is on the wrong side of it.
func TestLatencyPlaces(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 2500 * time.Microsecond, 99 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 1500 * time.Millisecond, 30 * time.Second} {
		if got := bound(place(d)); got != d {
			t.Errorf("%v begins at %v", d, got)
		}
		if d > 0 {
			if got := bound(place(d - 1)); got >= d {
				t.Errorf("%v has the place of %v", d-1, got)
			}
		}
	}
	l := &Latencies{}
	decade, step := place(123 * time.Millisecond)
	l[decade*steps+step] = 5
	if over, about := l.Over(123 * time.Millisecond); over != 5 || about != 5 {
		t.Errorf("%d over, %d about", over, about)
	}
	if over, about := l.Over(130 * time.Millisecond); over != 0 || about != 0 {
		t.Errorf("%d over, %d about", over, about)
	}
	if d, s := place(time.Duration(math.MaxInt64)); d != decades-1 || s != steps-1 {
		t.Errorf("the longest has place %d, %d", d, s)
	}
}

// TestAtOnce: calls of many goroutines are all counted.
func TestAtOnce(t *testing.T) {
	r := New()
	k := r.Kind(Key{Side: Caller, Service: "auth"})
	const each = 2000
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range each {
				if k.Record(time.Now(), time.Millisecond, OK) {
					k.Sample(time.Now(), time.Millisecond, OK, &Facts{})
				}
			}
		})
	}
	for range 20 {
		r.Last(Window)
	}
	g.Wait()
	if n := r.Last(Window).Kinds[0].Sum(); n != 8*each {
		t.Errorf("%d calls", n)
	}
}

// TestRecordAllocatesNothing once a kind has had its calls.
func TestRecordAllocatesNothing(t *testing.T) {
	r := New()
	k := r.Kind(Key{Side: Caller, Service: "auth"})
	now := time.Now()
	f := Facts{Baggage: "tenant=t7", Trace: strings.Repeat("a", 32)}
	record := func() {
		if k.Record(now, time.Millisecond, OK) {
			k.Sample(now, time.Millisecond, OK, &f)
		}
	}
	for range 100_000 {
		record()
	}
	if n := testing.AllocsPerRun(10_000, record); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, side := range []Side{Callee, Caller} {
		b.Run([]string{"callee", "caller"}[side], func(b *testing.B) {
			r := New()
			k := r.Kind(Key{Side: side, Service: "auth"})
			now := time.Now()
			f := Facts{}
			for b.Loop() {
				if k.Record(now, time.Millisecond, OK) {
					k.Sample(now, time.Millisecond, OK, &f)
				}
			}
		})
	}
}
