package spans

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func numbered(i int) Span {
	s := Span{ID: uint64(i) + 1, Service: "auth", Method: "verify", Attempt: 1, Took: time.Millisecond}
	s.Trace[15], s.Trace[14], s.Trace[13] = 0x40, byte(i), byte(i>>8)
	return s
}

// TestWhatIsStored comes back as it was, with its age.
func TestWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		want := Span{Trace: [16]byte{1, 15: 9}, ID: 7, Parent: 5, Side: Callee, Took: 3 * time.Second,
			Wait: 340 * time.Millisecond, Limit: 1440 * time.Millisecond, Attempt: 2, Failure: "deadline_exceeded",
			Service: "historian", Method: "query", Version: "v4", Peer: "[fd00::10:20:0:14]:40122", Caller: "portal",
			Rules: "services.historian.route[0]", Mark: "drill", Release: "1.9", Notes: OneWay}
		time.Sleep(time.Minute)
		began := time.Now()
		s := want
		r.Keep(began, &s)
		time.Sleep(4 * time.Second)
		found, more := r.Find(Filter{Traces: [][16]byte{want.Trace}})
		want.Began = 4 * time.Second
		if len(found) != 1 || more || found[0] != want {
			t.Errorf("got  %+v\nwant %+v", found, want)
		}
		if found, _ := r.Find(Filter{Traces: [][16]byte{{2}}}); len(found) != 0 {
			t.Errorf("another trace: %+v", found)
		}
	})
}

// TestRingsAreBounded: whatever is kept, the memory has a bound, and a flood of one kind displaces its own kind only.
func TestRingsAreBounded(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != 256 {
		t.Errorf("a slot has %d bytes", n)
	}
	r := New()
	fail := numbered(1)
	fail.Failure, fail.ID = "unreachable", 1<<40
	r.Keep(time.Now(), &fail)
	for i := range 10_000 {
		s := numbered(i)
		switch i % 3 {
		case 1:
			s.Took = time.Minute
		case 2:
			s.Refused, s.Failure = true, "access_denied"
		}
		r.Keep(time.Now(), &s)
	}
	bytes := 0
	for i := range r.rings {
		bytes += len(r.rings[i].blocks) * int(unsafe.Sizeof(*r.rings[i].blocks[0]))
	}
	if bytes > 1<<20 || bytes < 1<<18 {
		t.Errorf("%d bytes", bytes)
	}
	found, more := r.Find(Filter{Failure: "unreachable"})
	if len(found) != 1 || found[0].ID != fail.ID || more {
		t.Errorf("the failure was displaced: %+v", found)
	}
	all, more := r.Find(Filter{})
	if len(all) != MostFound || !more {
		t.Errorf("%d spans, more %v", len(all), more)
	}
	for i := range all[1:] {
		if all[i].Began > all[i+1].Began {
			t.Fatalf("span %d is older than the one after it", i)
		}
	}
	if few, more := r.Find(Filter{Slowest: true, Most: 3}); len(few) != 3 || few[0].Took != time.Minute || !more {
		t.Errorf("the slowest: %+v", few)
	}
}

// TestFilters: each field of a filter leaves out what does not fit, whatever its value.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		s := numbered(1)
		s.Mark = "drill"
		r.Keep(time.Now(), &s)
		time.Sleep(10 * time.Second)
		s = numbered(2)
		s.Failure, s.Method, s.Took = "canceled", "renew", 2*time.Second
		r.Keep(time.Now(), &s)
		long := strings.Repeat("\x00\xff'\"<%s", 1<<16)
		for i, tt := range []struct {
			f    Filter
			want int
		}{
			{Filter{}, 2}, {Filter{Service: "auth"}, 2}, {Filter{Service: "aut"}, 0}, {Filter{Method: "verify"}, 1},
			{Filter{Failure: AnyFailure}, 1}, {Filter{Failure: "canceled"}, 1}, {Filter{Failure: "timeout"}, 0},
			{Filter{Mark: "drill"}, 1}, {Filter{Since: 5 * time.Second}, 1}, {Filter{Slower: time.Second}, 1},
			{Filter{Since: -1, Slower: -1, Most: -1}, 2}, {Filter{Most: math.MaxInt}, 2}, {Filter{Most: 1}, 1},
			{Filter{Service: long}, 0}, {Filter{Method: long}, 0}, {Filter{Failure: long}, 0}, {Filter{Mark: long}, 0},
		} {
			if found, _ := r.Find(tt.f); len(found) != tt.want {
				t.Errorf("%d: %d spans, want %d", i, len(found), tt.want)
			}
		}
	})
}

// TestLongTexts: long texts are cut to whole characters, and the ones after them have room.
func TestLongTexts(t *testing.T) {
	r := New()
	long := strings.Repeat("服务", 1<<10)
	s := Span{Service: long, Method: long, Failure: long, Version: long, Peer: long, Caller: long, Rules: long,
		Mark: long, Release: long, Notes: long}
	r.Keep(time.Now(), &s)
	found, _ := r.Find(Filter{Service: long})
	if len(found) != 1 {
		t.Fatalf("%d spans", len(found))
	}
	bytes := 0
	for _, text := range append([]string{found[0].Peer}, func() (all []string) {
		for _, p := range found[0].places() {
			all = append(all, *p)
		}
		return all
	}()...) {
		bytes += len(text)
		if !strings.HasPrefix(long, text) {
			t.Errorf("%q", text)
		}
	}
	if bytes > textBytes || found[0].Service == "" || found[0].Method == "" {
		t.Errorf("%d bytes: %+v", bytes, found[0])
	}
}

// TestSampledByTraceAlone: whether a trace is sampled follows from its id, for one of Every.
func TestSampledByTraceAlone(t *testing.T) {
	sampled := 0
	for i := range 1 << 12 {
		header := fmt.Sprintf("00-%032x-00f067aa0ba902b7-01", 1<<20+i)
		if SampledParent(header) {
			sampled++
		}
		trace, span, ok := IDs(header)
		if !ok || span != 0x00f067aa0ba902b7 || fmt.Sprintf("%x", trace) != header[3:35] {
			t.Fatalf("%s: %x %x", header, trace, span)
		}
	}
	if sampled != 1<<12/Every {
		t.Errorf("%d of %d traces", sampled, 1<<12)
	}
	for _, bad := range []string{"", "00", strings.Repeat("x", 55)} {
		if _, _, ok := IDs(bad); ok || SampledParent(bad) {
			t.Errorf("%q is taken for a traceparent", bad)
		}
	}
}

// TestSlowLimitFollowsTheCalls: many slow calls raise it, few lower it.
func TestSlowLimitFollowsTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		if !r.Slow(slowFirst) || r.Slow(slowFirst-1) {
			t.Errorf("it begins at %v", r.SlowLimit())
		}
		call := func(took time.Duration) {
			s := numbered(1)
			s.Took = took
			r.Keep(time.Now().Add(-took), &s)
		}
		time.Sleep(time.Hour)
		call(0)
		if got := r.SlowLimit(); got != slowLeast {
			t.Errorf("after an hour without slow calls it is %v", got)
		}
		for range 1000 {
			call(300 * time.Millisecond)
		}
		if got := r.SlowLimit(); got <= 300*time.Millisecond || got > 700*time.Millisecond {
			t.Errorf("after 1000 calls of 300 ms it is %v", got)
		}
		time.Sleep(30 * time.Second)
		call(0)
		if got := r.SlowLimit(); got >= 300*time.Millisecond {
			t.Errorf("30 s later it is %v", got)
		}
	})
}

// TestAtOnce: writers and readers do not disturb each other.
func TestAtOnce(t *testing.T) {
	r := New()
	var g sync.WaitGroup
	for w := range 4 {
		g.Go(func() {
			for i := range 2000 {
				s := numbered(i)
				s.Service = strings.Repeat(fmt.Sprint(w), 30)
				r.Keep(time.Now(), &s)
			}
		})
	}
	for range 20 {
		found, _ := r.Find(Filter{})
		for _, s := range found {
			if strings.Trim(s.Service, s.Service[:1]) != "" || len(s.Service) != 30 {
				t.Fatalf("torn: %+v", s)
			}
		}
	}
	g.Wait()
}

// TestKeepAllocatesNothing once the ring has its blocks, and no recorder keeps nothing.
func TestKeepAllocatesNothing(t *testing.T) {
	r := New()
	s := numbered(1)
	now := time.Now()
	for range mostSpans {
		r.Keep(now, &s)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Keep(now, &s) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	var none *Recorder
	none.Keep(now, &s)
	if found, more := none.Find(Filter{}); found != nil || more {
		t.Errorf("%v", found)
	}
}

func BenchmarkNotKept(b *testing.B) {
	r := New()
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	n := 0
	for b.Loop() {
		if r.Slow(time.Millisecond) || SampledParent(header) {
			n++
		}
	}
	if n > 0 {
		b.Error("it would be kept")
	}
}

func BenchmarkKeep(b *testing.B) {
	r := New()
	s := numbered(1)
	s.Peer, s.Caller, s.Version = "10.20.0.14:7014", "portal", "v4"
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r.Keep(now, &s)
	}
}

func BenchmarkFind(b *testing.B) {
	r := New()
	for i := range 10_000 {
		s := numbered(i)
		s.Took = time.Duration(i) * time.Millisecond / 10
		r.Keep(time.Now(), &s)
	}
	for b.Loop() {
		r.Find(Filter{Slowest: true, Most: 100})
	}
}
