package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestTraceOfARequest(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, c := range []struct {
		header      http.Header
		id, flags   string // "" = a new trace
		stateStaysA bool
	}{
		{header("Traceparent", "00-"+id+"-"+span+"-00", "Tracestate", "a=1"), id, "00", true},
		{header("Traceparent", "00-"+id+"-"+span+"-01", "Traceparent", "00-"+id+"-"+span+"-01"), "", "01", false},
		{header("Traceparent", "00-"+strings.ToUpper(id)+"-"+span+"-01", "Tracestate", "a=1"), "", "01", false},
		{header("Traceparent", "nonsense", "X-B3-TraceId", id, "X-B3-SpanId", span, "X-B3-Sampled", "0"),
			id, "00", false},
		{header("X-B3-TraceId", id), id, "01", false},
		{header("X-B3-TraceId", id[16:], "X-B3-SpanId", span), "0000000000000000" + id[16:], "01", false},
		{header("B3", id+"-"+span+"-0"), id, "00", false},
		{header("B3", "0"), "", "01", false},
		{header("X-B3-TraceId", strings.Repeat("0", 32)), "", "01", false},
		{header(), "", "01", false},
	} {
		got, state := traceOf(c.header)
		if c.id != "" && traceID(got) != c.id || c.id == "" && traceID(got) == id || got[53:] != c.flags ||
			(state != "") != c.stateStaysA {
			t.Errorf("%v: %s %q", c.header, got, state)
		}
	}
}

func TestBaggageFromOutside(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"a=1,b=2;p=q"}, "a=1,b=2;p=q"},
		{[]string{"skerry-rollout=x", " SKERRY-key = y ,a=1,,", "skerry-mark"}, "a=1"},
		{[]string{strings.Repeat("a=1,", 2048) + "b"}, ""},
	} {
		if got := foreign(c.lines, ours); got != c.want {
			t.Errorf("%.60q: %q, want %q", c.lines, got, c.want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1,skerry-rollout=x",
		"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")
	f.Fuzz(func(t *testing.T, parent, baggage, b3 string) {
		h := header("Traceparent", parent, "Baggage", baggage, "B3", b3)
		if got, _ := traceOf(h); len(got) != 55 {
			t.Errorf("traceparent %q", got)
		}
		if kept := foreign(h[headerBaggage], ours); tokenIn([]string{kept}) != "" {
			t.Errorf("a token passes: %q", kept)
		}
	})
}
