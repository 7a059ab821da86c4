package rpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/policy"
)

// sampledTrace is a traceparent of a trace of which every call is kept, and plainTrace one of the others.
const (
	sampledTrace = "00-4bf92f3577b34da6a3ce929d0e0e4740-00f067aa0ba902b7-01"
	plainTrace   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// spansOf waits until so many spans of a trace, "" any, are kept.
func spansOf(t *testing.T, r *spans.Recorder, trace string, n int) (found []spans.Span) {
	t.Helper()
	f := spans.Filter{}
	if id, _, ok := spans.IDs(trace); ok {
		f.Traces = [][16]byte{id}
	}
	eventually(t, "the spans", func() bool { found, _ = r.Find(f); return len(found) >= n })
	if len(found) != n {
		t.Errorf("%d spans, want %d: %+v", len(found), n, found)
	}
	return found
}

// TestSpansOfBothSides: caller and callee of a sampled call keep its span under one id; nothing is kept of a call that
// is neither sampled nor slow nor failed.
func TestSpansOfBothSides(t *testing.T) {
	callee, caller := spans.New(), spans.New()
	s := serve(t, ServerConfig{Spans: callee}, &handler{name: "a"})
	call := stub(t, client(t, ClientConfig{Spans: caller, Caller: "portal"}, s.endpoint()), ServiceOptions{})
	for _, trace := range []string{plainTrace, sampledTrace} {
		if _, err := call().Who(WithTrace(t.Context(), trace, "")); err != nil {
			t.Fatal(err)
		}
	}
	there, here := spansOf(t, callee, "", 1)[0], spansOf(t, caller, "", 1)[0]
	_, parent, _ := spans.IDs(sampledTrace)
	if here.ID == 0 || here.ID == parent || here.ID != there.ID || here.Parent != parent || here.Trace != there.Trace {
		t.Errorf("caller %+v\ncallee %+v", here, there)
	}
	if here.Side != spans.Caller || there.Side != spans.Callee || here.Service != "echo" || there.Service != "echo" ||
		here.Method != "who" || there.Method != "who" || there.Version != "v1" || here.Caller != "portal" ||
		there.Caller != "portal" || here.Peer != s.addr || here.Attempt != 1 || here.Limit <= 0 || here.Failure != "" {
		t.Errorf("caller %+v\ncallee %+v", here, there)
	}
}

// TestSpansOfFailures: failures, declared exceptions, refusals and calls that were not sent say why.
func TestSpansOfFailures(t *testing.T) {
	callee, caller := spans.New(), spans.New()
	s := serve(t, ServerConfig{Spans: callee}, &handler{})
	c := client(t, ClientConfig{Spans: caller}, s.endpoint())
	call := stub(t, c, ServiceOptions{})
	in := func(trace string) context.Context { return WithTrace(t.Context(), trace, "") }
	_ = call().Fail(in(plainTrace), "error")
	_ = call().Fail(in(sampledTrace), "declared")
	if here := spansOf(t, caller, plainTrace, 1)[0]; here.Failure != HandlerFailed.String() {
		t.Errorf("%+v", here)
	}
	if there := spansOf(t, callee, plainTrace, 1)[0]; there.Failure != "internal" || there.Refused {
		t.Errorf("%+v", there)
	}
	for _, r := range []*spans.Recorder{callee, caller} {
		if got := spansOf(t, r, sampledTrace, 1)[0]; got.Failure != "" || got.Notes != spans.Exception {
			t.Errorf("%+v", got)
		}
	}
	limited := stub(t, client(t, ClientConfig{Spans: caller}), ServiceOptions{Wait: -1})
	other := strings.Replace(plainTrace, "4bf9", "5bf9", 1)
	if _, err := limited().Who(in(other)); err == nil {
		t.Fatal("a call of no instance is answered")
	}
	if got := spansOf(t, caller, other, 1)[0]; got.Failure != NoInstance.String() || got.Peer != "" {
		t.Errorf("%+v", got)
	}
}

// TestRetriesAreOneTrace: the attempts of a call that begins a trace belong to one trace. The retry is kept, quick as
// it was, and the policy's values that acted are named.
func TestRetriesAreOneTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee, caller, site := spans.New(), spans.New(), &sitePolicy{}
		a, b := newMemoryListener(), newMemoryListener()
		slow := &handler{name: "a", seen: func(context.Context) { time.Sleep(600 * time.Millisecond) }}
		serveOn(t, ServerConfig{Spans: callee}, slow, a)
		serveOn(t, ServerConfig{Spans: callee}, &handler{name: "b"}, b)
		p := &arrivals{first: first{{ID: "a", Service: "echo", Addr: "a"}, {ID: "b", Service: "echo", Addr: "b"}}}
		c := client(t, ClientConfig{Resolver: p, Spans: caller, Policy: site.table.Load,
			Dial: func(ctx context.Context, addr string) (net.Conn, error) {
				return map[string]*memoryListener{"a": a, "b": b}[addr].dial(ctx, addr)
			}})
		site.of(policy.Service{Settings: policy.Settings{AttemptTimeout: new(200 * time.Millisecond),
			Retries: new(1)}})
		who, err := stub(t, c, ServiceOptions{Idempotent: []string{"who"}})().Who(t.Context())
		if err != nil || who != "b" {
			t.Fatalf("%q, %v", who, err)
		}
		time.Sleep(time.Second) // until the slow handler has ended
		here, _ := caller.Find(spans.Filter{})
		there, _ := callee.Find(spans.Filter{})
		if len(here) != 2 || len(there) != 2 {
			t.Fatalf("caller %+v\ncallee %+v", here, there)
		}
		second, first := here[0], here[1] // the newest is first
		if first.Trace != second.Trace || first.ID == second.ID || first.Parent != 0 || second.Parent != 0 ||
			first.Attempt != 1 || second.Attempt != 2 || first.Failure != DeadlineExceeded.String() ||
			second.Failure != "" {
			t.Errorf("first  %+v\nsecond %+v", first, second)
		}
		if first.Rules != "attempt_timeout 200ms, retries 1" {
			t.Errorf("rules: %q", first.Rules)
		}
		if there[0].Trace != first.Trace || there[1].Trace != first.Trace || there[0].Attempt != 2 {
			t.Errorf("%+v", there)
		}
	})
}

// TestSpansOfRefusals: a call that the policy refuses names the item, on both sides.
func TestSpansOfRefusals(t *testing.T) {
	callee := spans.New()
	rules := policy.Service{Access: &policy.Access{Enforce: true, Deny: true}}
	s := serve(t, ServerConfig{Spans: callee, Policy: ruled(&rules)}, &handler{})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	if _, err := call().Who(WithTrace(t.Context(), plainTrace, "")); CodeOf(err) != AccessDenied {
		t.Fatal(err)
	}
	got := spansOf(t, callee, plainTrace, 1)[0]
	if !got.Refused || got.Failure != AccessDenied.String() || got.Rules != "access.default" {
		t.Errorf("%+v", got)
	}
}

// TestSpansOfPlainServers: a peer without headers gets no traceparent; its span has an id of its own in the trace.
func TestSpansOfPlainServers(t *testing.T) {
	caller := spans.New()
	s := serve(t, ServerConfig{}, &handler{})
	e := s.endpoint()
	e.Protocol = "framed-binary"
	call := stub(t, client(t, ClientConfig{Spans: caller}, e), ServiceOptions{})
	if _, err := call().Who(WithTrace(t.Context(), sampledTrace, "")); err != nil {
		t.Fatal(err)
	}
	got := spansOf(t, caller, sampledTrace, 1)[0]
	if _, parent, _ := spans.IDs(sampledTrace); got.Parent != parent || got.ID == 0 || got.ID == parent {
		t.Errorf("%+v", got)
	}
}

// BenchmarkSpanNotKept is the cost of spans in a call that is neither slow nor failed nor sampled, at each side.
func BenchmarkSpanNotKept(b *testing.B) {
	r := spans.New()
	b.Run("caller", func(b *testing.B) {
		call := &Call{Attempt: 1, chain: 1, head: []byte("head" + plainTrace), traceAt: 4}
		a := attempt{s: &serviceClient{c: &Client{cfg: ClientConfig{Spans: r}}}, call: call}
		b.ReportAllocs()
		for b.Loop() {
			a.keepSpan(health.OK, nil, time.Millisecond)
		}
	})
	b.Run("callee", func(b *testing.B) {
		call := &serverCall{conn: &serverConn{s: &Server{cfg: ServerConfig{Spans: r}}}}
		call.info.Attempt, call.info.Trace = 1, plainTrace
		b.ReportAllocs()
		for b.Loop() {
			call.keepSpan(health.OK, time.Millisecond)
		}
	})
	if found, _ := r.Find(spans.Filter{}); len(found) > 0 {
		b.Errorf("%d spans are kept", len(found))
	}
}
