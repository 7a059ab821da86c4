package membership

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/internal/wire"
)

// TestSpansTravel: what one process tells of a span is what another one reads.
func TestSpansTravel(t *testing.T) {
	want := spans.Span{Trace: [16]byte{1, 15: 2}, ID: math.MaxUint64, Parent: 5, Side: spans.Callee,
		Began: 4 * time.Second, Took: 3 * time.Millisecond, Wait: time.Millisecond, Limit: time.Second, Attempt: 3,
		Failure: "timeout", Service: "auth", Method: "verify", Version: "v1", Peer: "10.20.0.14:7014",
		Caller: "portal", Rules: "services.auth.limits[0]", Mark: "drill", Release: "1.9", Notes: spans.Copy}
	if got := spanOf(wireSpan(&want)); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	plain := spans.Span{Attempt: 1, Service: "auth", Method: "verify"}
	if got := spanOf(wireSpan(&plain)); got != plain {
		t.Errorf("got %+v", got)
	}
}

// TestHostileSpanQuery: a question has bounds, and values that are no names find nothing.
func TestHostileSpanQuery(t *testing.T) {
	r := spans.New()
	r.Keep(time.Now(), &spans.Span{Trace: [16]byte{1}, Service: "auth", Method: "verify", Failure: "timeout"})
	s := &Service{cfg: ServiceConfig{Spans: r}}
	long := strings.Repeat("%s\x00\xff", 1<<18)
	for what, q := range map[string]*wire.SpanQuery{
		"many traces":   {Traces: make([][]byte, spans.MostTraces+1)},
		"a short trace": {Traces: [][]byte{{1, 2, 3}}},
		"a long trace":  {Traces: [][]byte{make([]byte, 1<<20)}},
	} {
		if _, err := s.Spans(t.Context(), q); err == nil {
			t.Errorf("%s is answered", what)
		}
	}
	for what, q := range map[string]*wire.SpanQuery{
		"a long name": {Name: &long}, "a long method": {Method: &long}, "a long failure": {Failure: &long},
		"a long mark": {Mark: &long}, "another trace": {Traces: [][]byte{make([]byte, 16)}},
	} {
		if w, err := s.Spans(t.Context(), q); err != nil || len(w.Spans) != 0 {
			t.Errorf("%s: %v, %v", what, w, err)
		}
	}
	for _, n := range []int64{math.MinInt64, -1, 0, math.MaxInt64} {
		q := &wire.SpanQuery{SinceMs: &n, Most: math.MinInt32, Order: &long}
		if w, err := s.Spans(t.Context(), q); err != nil || len(w.Spans) != 1 {
			t.Errorf("since %d: %v, %v", n, w, err)
		}
	}
}

// TestSpanAnswerHasABound, and what another process answers has one, too.
func TestSpanAnswerHasABound(t *testing.T) {
	long := strings.Repeat("x", 60)
	many := make([]spans.Span, 10_000)
	for i := range many {
		many[i] = spans.Span{Service: long, Method: long, Caller: long}
	}
	w := spanAnswer(many, false, time.Second)
	if n := len(w.Spans); n < 1000 || n > spanBytes/200 || !w.GetMore() {
		t.Errorf("%d spans, more %v", n, w.GetMore())
	}
	huge := strings.Repeat("服", 1<<16)
	s := spanOf(&wire.Span{Trace: make([]byte, 16), AgoUs: math.MaxInt64, TookUs: math.MinInt64, Name: huge,
		Method: huge, Side: huge, Rules: &huge, Attempt: new(int32(math.MinInt32))})
	if len(s.Service) > spanText || len(s.Rules) > spanText || s.Took != 0 || s.Began > longestSpan || s.Attempt != 1 {
		t.Errorf("%+v", s)
	}
	if s = spanOf(&wire.Span{Trace: make([]byte, 16), Name: "pay\u202e\x1b[2J"}); s.Service != `pay\u202e\x1b[2J` {
		t.Errorf("hidden characters of a name are kept: %q", s.Service)
	}
}
