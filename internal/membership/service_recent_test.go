package membership

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// TestRecentCalls: an answer tells calls of both sides by service, method, version and caller, with failures by kind
// and latencies, and leaves the framework's own out.
func TestRecentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recent.New()
		made := recent.Key{Side: recent.Caller, Service: "auth", Method: "verify", Version: "v2"}
		unmirrored := made
		unmirrored.Unmirrored = true
		served := recent.Key{Side: recent.Callee, Service: "portal", Method: "home", Caller: "ip:10.0.0.7"}
		greeted := recent.Key{Side: recent.Callee, Service: "portal", Method: "home", Caller: "gateway", Greets: true}
		for range 20 {
			for range 9 {
				r.Kind(made).Record(time.Now(), 3*time.Millisecond, recent.OK)
			}
			r.Kind(unmirrored).Record(time.Now(), 500*time.Millisecond, recent.FirstCode+uint8(rpc.DeadlineExceeded))
			r.Kind(served).Record(time.Now(), 20*time.Millisecond, recent.Served)
			r.Kind(served).Record(time.Now(), 0, recent.Denied)
			r.Kind(greeted).Record(time.Now(), 20*time.Millisecond, recent.Failed)
			r.Kind(recent.Key{Service: InternalService, Method: "ping"}).Record(time.Now(), 0, recent.Served)
			time.Sleep(10 * time.Second)
		}
		s := &Service{cfg: ServiceConfig{Recent: r}, m: &Membership{cfg: Config{Caller: "portal"}}}
		w, err := s.Recent(t.Context(), 300)
		must(t, "recent", err)
		if w.Seconds != 201 || w.GetCaller() != "portal" || len(w.Calls) != 3 || w.KindsLeft != nil {
			t.Fatalf("got %+v", w)
		}
		verify, plain, known := w.Calls[0], w.Calls[1], w.Calls[2]
		var steps recent.Steps
		for step, n := range verify.Latencies {
			steps[step] = n
		}
		if p50 := steps.Quantile(0.5); verify.Calls != 200 || verify.Caller != nil || verify.GetVersion() != "v2" ||
			verify.Kinds["timeout"] != 20 || p50 < 2500*time.Microsecond || p50 > 3500*time.Microsecond ||
			steps.Quantile(0.99) < 400*time.Millisecond {
			t.Errorf("calls that were made: %+v", verify)
		}
		if plain.GetCaller() != "ip:10.0.0.7" || plain.GetGreets() || plain.Calls != 40 ||
			plain.Kinds["denied"] != 20 || len(plain.Latencies) == 0 {
			t.Errorf("calls of a plain client: %+v", plain)
		}
		if known.GetCaller() != "gateway" || !known.GetGreets() || known.Kinds["failed"] != 20 {
			t.Errorf("calls of a known caller: %+v", known)
		}
		if len(w.Trends) != 2 || w.Trends[0].Name != "auth" || w.Trends[0].GetServed() || !w.Trends[1].GetServed() {
			t.Fatalf("the trends are %+v", w.Trends)
		}
		for i, n := range w.Trends[0].Calls {
			want := int32(0)
			if i >= 9 && i < 29 { // 20 slices, and the running second
				want = 10
			}
			if n != want {
				t.Errorf("slice %d of %v, want %d", i, w.Trends[0].Calls, want)
				break
			}
		}
	})
}

// TestRecentIsAddedUpOnce: what asks within a second gets the same answer; a time out of bounds gets none.
func TestRecentIsAddedUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{cfg: ServiceConfig{Recent: recent.New()}, m: &Membership{denials: denials{log: quiet}}}
		first, err := s.Recent(t.Context(), 60)
		must(t, "recent", err)
		if again, _ := s.Recent(t.Context(), 60); again != first {
			t.Error("the calls were added up again")
		}
		if other, _ := s.Recent(t.Context(), 300); other == first {
			t.Error("another time has the same answer")
		}
		time.Sleep(recentKept)
		if later, _ := s.Recent(t.Context(), 300); later == first {
			t.Error("the answer is never made again")
		}
		for _, seconds := range []int64{-1, 0, recent.Window + 1} {
			if _, err := s.Recent(t.Context(), seconds); err == nil {
				t.Errorf("%d seconds were told", seconds)
			}
		}
	})
}

// TestRecentHasABound: an answer has at most 64 KiB in either protocol, and counts what it leaves out.
func TestRecentHasABound(t *testing.T) {
	r := recent.New()
	calls := int64(0)
	for i := range 900 {
		k := r.Kind(recent.Key{Side: recent.Side(i % 2), Service: fmt.Sprint("service-", i/2),
			Method: strings.Repeat("m", i%40), Caller: fmt.Sprint("caller-", i)})
		for step := range 20 {
			k.Record(time.Now(), time.Millisecond<<step/16, uint8(step))
			calls++
		}
	}
	w := recentOf(r, 300)
	told := w.GetCallsLeft()
	for _, c := range w.Calls {
		told += c.Calls
	}
	if told != calls || w.GetKindsLeft() != 900-int64(len(w.Calls)) || len(w.Calls) < 50 || len(w.Trends) < 50 {
		t.Errorf("%d calls of %d are told or counted; %d kinds, %d left out; %d trends", told, calls, len(w.Calls),
			w.GetKindsLeft(), len(w.Trends))
	}
	for name, b := range map[string][]byte{
		"binary": written(t, w, func(to thrift.TTransport) thrift.TProtocol {
			return thrift.NewTBinaryProtocolConf(to, nil)
		}),
		"compact": written(t, w, func(to thrift.TTransport) thrift.TProtocol {
			return thrift.NewTCompactProtocolConf(to, nil)
		}),
	} {
		if len(b) > 64<<10 || len(b) < 16<<10 {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
}

func written(t *testing.T, w *wire.Recent, protocol func(thrift.TTransport) thrift.TProtocol) []byte {
	to := thrift.NewTMemoryBuffer()
	p := protocol(to)
	must(t, "write", w.Write(t.Context(), p))
	must(t, "flush", p.Flush(context.Background()))
	return to.Bytes()
}

// BenchmarkRecent is the largest answer: 1,000 kinds with calls in each second of five minutes.
func BenchmarkRecent(b *testing.B) {
	r, now := recent.New(), time.Now()
	for i := range 1000 {
		k := r.Kind(recent.Key{Side: recent.Side(i % 2), Service: fmt.Sprint("service-", i/20),
			Method: fmt.Sprint("method-", i%20), Caller: fmt.Sprint("caller-", i%7), Version: "v1"})
		for second := range 300 {
			k.Record(now.Add(time.Duration(second)*time.Second), time.Duration(1+i%50)*time.Millisecond, 0)
		}
	}
	for b.Loop() {
		recentOf(r, 60)
	}
}
