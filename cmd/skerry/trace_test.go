package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// oneTrace is a request; its second part fails after a retry.
func oneTrace() control.Trace {
	ms := time.Millisecond
	t := control.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Began: time.Now(), Took: 400 * ms, Service: "portal",
		Method: "page", From: "gateway", Retried: true, Calls: 3, Services: []string{"historian", "portal"},
		Processes: []string{"ops-1/1/a", "ops-4/1/a"}, Release: "1.9", Mark: "drill"}
	t.Spans = []control.TraceSpan{
		{ID: 9, Service: "gateway", Lost: true, Took: 400 * ms, Shown: 400 * ms,
			Parts: []control.TracePart{{Took: 400 * ms}}},
		{ID: 1, Parent: 9, Depth: 1, Service: "portal", Method: "page", Version: "v3", Attempt: 1, Took: 400 * ms,
			Shown: 400 * ms, Own: 40 * ms, CalleeProcess: "ops-1/1/a",
			Parts: []control.TracePart{{Began: 40 * ms, Took: 200 * ms}, {Began: 240 * ms, Took: 160 * ms}}},
		{ID: 2, Parent: 1, Depth: 2, Service: "historian", Method: "query", Version: "v4", Attempt: 1, Began: 40 * ms,
			Took: 200 * ms, Shown: 200 * ms, Own: 200 * ms, Failure: "deadline_exceeded", Instance: "10.20.0.4:7010",
			Rules: "attempt_timeout 200ms, retries 1"},
		{ID: 3, Parent: 1, Depth: 2, Service: "historian", Method: "query", Version: "v4", Attempt: 2, Began: 240 * ms,
			Took: 160 * ms, Shown: 160 * ms, Own: 160 * ms, Wait: 80 * ms, CalleeProcess: "ops-4/1/a"},
	}
	return t
}

func TestTraceIsDrawn(t *testing.T) {
	var out, errs bytes.Buffer
	a := newApp(nil, &out, &errs)
	found := control.Traces{List: []control.Trace{oneTrace()}, Every: 64, Answered: 3,
		Silent: map[string]string{"ops-7/1/a": "its release of skerry is too old to keep spans"}}
	if code := a.report(a.printTrace(found)); code != exitProblem {
		t.Errorf("code %d", code)
	}
	a.out.Flush()
	a.err.Flush()
	for _, want := range []string{
		"portal.page from gateway, 400ms, ok after a failure: 3 calls of 2 services, told by 2 processes",
		"gateway (not kept)", ">     historian.query", "historian.query, attempt 2",
		"####------------------------------------", "xxxxxxxxxxxxxxxxxxxx", "........########",
		"deadline_exceeded at 10.20.0.4:7010", "ok at ops-4", "attempt_timeout 200ms, retries 1",
		"generation 1.9 of the releases, with the mark drill",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if !strings.Contains(errs.String(), "ops-7/1/a does not tell: its release of skerry is too old") {
		t.Errorf("stderr: %s", errs.String())
	}
}

func TestTracesAreListed(t *testing.T) {
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	found := control.Traces{List: []control.Trace{oneTrace()}, Every: 64}
	if code := a.report(a.printTraces(found, control.TraceFilter{Since: time.Hour})); code != 0 {
		t.Errorf("code %d", code)
	}
	if code := a.report(a.printTraces(control.Traces{Every: 64}, control.TraceFilter{Since: time.Hour})); code != 0 {
		t.Errorf("code %d", code)
	}
	a.out.Flush()
	for _, want := range []string{"portal.page", "gateway", "400ms", "ok after a failure", "historian  200ms",
		"4bf92f3577b34da6a3ce929d0e0e4736", "No process keeps such a request of the last 1h"} {
		if !strings.Contains(strings.ReplaceAll(out.String(), "historian 200ms", "historian  200ms"), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

// TestTraceAsOTLP: --json is the form of OpenTelemetry, of a list without traces, too.
func TestTraceAsOTLP(t *testing.T) {
	for _, list := range [][]control.Trace{nil, {oneTrace()}} {
		var out bytes.Buffer
		a := newApp(nil, &out, &out)
		a.flags.json = true
		a.report(a.printTraces(control.Traces{List: list}, control.TraceFilter{}))
		a.out.Flush()
		var doc struct{ ResourceSpans []any }
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || doc.ResourceSpans == nil {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}

// TestTraceArguments: what is no trace id, and times that are none, are usage errors.
func TestTraceArguments(t *testing.T) {
	for _, args := range [][]string{{"trace", "xyz"}, {"trace", "00-1-2-3"}, {"trace", strings.Repeat("0", 32)},
		{"trace", "a", "b"}, {"trace", "--since", "-1h"}, {"trace", "--slower", "-1s"}, {"trace", "--most", "0"},
		{"trace", "--most", "51"}} {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), args, nil, &out, &errs); code != exitUsage {
			t.Errorf("%v: code %d: %s", args, code, errs.String())
		}
	}
}

// TestTraceOfASite: a failed call of a running process is listed, drawn by its traceparent, and exported. A stranger is
// told nothing.
func TestTraceOfASite(t *testing.T) {
	t.Parallel()
	config := site(t, "")
	n := offerClock(t, config)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	const header = "00-" + trace + "-00f067aa0ba902b7-01"
	_, err := n.Client("clock").Call(rpc.WithTrace(t.Context(), header, ""), "nope", &rpc.Raw{}, &rpc.Raw{})
	if rpc.CodeOf(err) != rpc.UnknownMethod {
		t.Fatal(err)
	}
	_, out, errs := heard(t, "trace", "--failed", "--service", "clock", "-c", config)
	for _, want := range []string{"clock.nope", "unknown_method", trace} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s%s", want, out, errs)
		}
	}
	_, out, errs = heard(t, "trace", header, "-c", config)
	for _, want := range []string{"clock.nope from ", "(not kept)", "1 call of 1 service, told by 1 process",
		"unknown_method at "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s%s", want, out, errs)
		}
	}
	_, out, _ = heard(t, "trace", trace, "--json", "-c", config)
	if n := strings.Count(out, `"spanId"`); n != 2 || !strings.Contains(out, `"traceId": "`+trace+`"`) {
		t.Errorf("%d spans in\n%s", n, out)
	}
	code, _, errs := cli(t, "", "trace", strings.Replace(trace, "4", "5", 1), "-c", config)
	if code != exitProblem || !strings.Contains(errs, "no process keeps a span") {
		t.Errorf("an unknown trace: code %d, %s", code, errs)
	}
	addr := n.Explain("clock")[0].Addr
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Addr: addr})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stranger, err := c.Service("skerry.internal", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wire.NewInternalClient(stranger).Spans(t.Context(), &wire.SpanQuery{})
	if rpc.CodeOf(err) != rpc.NotMember {
		t.Errorf("a stranger asks for spans: %v", err)
	}
}
