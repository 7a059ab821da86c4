package control

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/rpc"
)

var joinedAt = time.Date(2026, 11, 30, 3, 12, 4, 0, time.UTC)

const ms = time.Millisecond

// at is a span of the trace 1 that a process has told, by the clock of that process.
func at(process string, side spans.Side, id, parent uint64, service string, began, took time.Duration) told {
	return told{spans.Span{Trace: [16]byte{15: 1}, ID: id, Parent: parent, Side: side, Took: took, Attempt: 1,
		Service: service, Method: "m", Caller: "caller of " + service}, process, joinedAt.Add(began)}
}

func joinOne(t *testing.T, list ...told) Trace {
	t.Helper()
	all := join(list, [][16]byte{{15: 1}, {15: 2}})
	if len(all) != 1 {
		t.Fatalf("%d traces", len(all))
	}
	return all[0]
}

// TestClocksOfHosts: a call is shown within the one that made it, whatever the estimates of the clocks say, and calls
// of one process keep their distances.
func TestClocksOfHosts(t *testing.T) {
	for _, off := range []time.Duration{0, -5 * time.Second, 5 * time.Second, 90 * ms} {
		trace := joinOne(t,
			at("a", spans.Caller, 1, 0, "front", 0, 100*ms), at("b", spans.Callee, 1, 0, "front", off+3*ms, 94*ms),
			at("b", spans.Caller, 2, 1, "back", off+13*ms, 20*ms), at("c", spans.Callee, 2, 0, "back", -off, 10*ms),
			at("b", spans.Caller, 3, 1, "back", off+53*ms, 40*ms), at("c", spans.Callee, 3, 0, "back", -off, 39*ms))
		if len(trace.Spans) != 3 || trace.Took != 100*ms || trace.Calls != 3 {
			t.Fatalf("%+v", trace)
		}
		root, first, second := trace.Spans[0], trace.Spans[1], trace.Spans[2]
		for _, s := range trace.Spans[1:] {
			if s.Depth != 1 || s.Began < root.Began || s.Began+s.Shown > root.Began+root.Shown || s.Shown != s.Took {
				t.Errorf("clock %v: %+v", off, s)
			}
		}
		if d := second.Began - first.Began; d != 40*ms {
			t.Errorf("clock %v: %v between two calls of one process, want 40ms", off, d)
		}
		if root.Own != 40*ms || first.Own != 20*ms {
			t.Errorf("clock %v: own times %v, %v", off, root.Own, first.Own)
		}
	}
}

// TestLostParents: calls whose own call was not kept stand together, and a call that outlives its caller is cut.
func TestLostParents(t *testing.T) {
	trace := joinOne(t, at("b", spans.Caller, 2, 9, "back", 10*ms, 20*ms),
		at("b", spans.Caller, 3, 9, "back", 50*ms, 30*ms),
		at("c", spans.Callee, 4, 0, "alone", 60*ms, 5*ms))
	if len(trace.Spans) != 4 || !trace.Spans[0].Lost || trace.Spans[0].Service != "caller of back" ||
		trace.Spans[0].Own != 0 || trace.Spans[0].Took != 70*ms || trace.Spans[1].Depth != 1 || trace.Calls != 3 ||
		trace.From != "caller of back" || trace.Service != "back" || trace.Spans[3].Service != "alone" {
		t.Errorf("%+v", trace)
	}
	trace = joinOne(t, at("a", spans.Caller, 1, 0, "front", 0, 50*ms),
		at("b", spans.Callee, 1, 0, "front", 1*ms, 300*ms),
		at("b", spans.Caller, 2, 1, "back", 20*ms, 280*ms))
	if s := trace.Spans[1]; s.Took != 280*ms || s.Began+s.Shown > 50*ms || trace.Took != 50*ms {
		t.Errorf("%+v", trace)
	}
}

// TestHostileSpans: what processes invent is one trace with bounds: circles, own parents, the same ids, long times.
func TestHostileSpans(t *testing.T) {
	const longest = math.MaxInt64 / 4
	list := []told{at("a", spans.Caller, 1, 2, "x", 0, ms), at("a", spans.Caller, 2, 3, "x", 0, ms),
		at("a", spans.Caller, 3, 1, "x", 0, ms), at("a", spans.Caller, 4, 4, "x", 0, ms),
		at("b", spans.Caller, 1, 4, "x", 0, longest), at("b", spans.Edge, 5, 1, "x", -longest, longest),
		at("b", spans.Callee, 5, 1, "x", 0, 0), at("b", spans.Callee, 5, 1, "x", 0, 0)}
	for i := range 3 * mostJoined {
		list = append(list, at("c", spans.Caller, uint64(100+i), uint64(99+i), "deep", 0, ms))
	}
	trace := joinOne(t, list...)
	if n := len(trace.Spans); n < 100 || n > mostJoined+1 {
		t.Errorf("%d spans", n)
	}
	seen := map[uint64]bool{}
	for _, s := range trace.Spans {
		if seen[s.ID] || s.Depth > deepest || s.Shown < 0 || s.Own < 0 || s.Began < 0 {
			t.Fatalf("%+v", s)
		}
		seen[s.ID] = true
	}
	ToOTLP([]Trace{trace})
	if none := join(nil, [][16]byte{{}}); len(none) != 0 {
		t.Errorf("%+v", none)
	}
}

// TestOldProcessKeepsNoSpans: the answer of an older release is said in words.
func TestOldProcessKeepsNoSpans(t *testing.T) {
	old := &rpc.Error{Code: rpc.UnknownMethod, Err: fmt.Errorf("service skerry.internal has no method %q", "spans")}
	if got := spanSilence(old); got != errSpansTooOld.Error() {
		t.Errorf("%q", got)
	}
	if got := spanSilence(&rpc.Error{Code: rpc.DeadlineExceeded}); got == errSpansTooOld.Error() || got == "" {
		t.Errorf("%q", got)
	}
}

// TestPastedTraceIDs are read in every form that other tools show.
func TestPastedTraceIDs(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, text := range []string{id, " " + id + "\n", "00-" + id + "-00f067aa0ba902b7-01",
		"traceparent: 00-" + id + "-00f067aa0ba902b7-00\r\n", `"4BF92F3577B34DA6A3CE929D0E0E4736"`} {
		got, err := ParseTraceID(text)
		if err != nil || fmt.Sprintf("%x", got) != id {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "00", id[1:], id + "00", "00-" + id, "00000000000000000000000000000000", "\x00"} {
		if got, err := ParseTraceID(text); err == nil {
			t.Errorf("%q is read as %x", text, got)
		}
	}
}
