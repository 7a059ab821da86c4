package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
)

// traced answers with traces in memory.
type traced struct {
	list  []control.Trace
	err   error
	asked []control.TraceFilter
}

func (f *traced) List(_ context.Context, q control.TraceFilter) (control.Traces, error) {
	f.asked = append(f.asked, q)
	return control.Traces{List: f.list, Answered: 6, Every: 64,
		Silent: map[string]string{"ops-7/412/a": "no answer <b>"}}, f.err
}

func (f *traced) One(_ context.Context, id [16]byte) (control.Traces, error) {
	t := control.Traces{Answered: 6, Every: 64}
	for _, one := range f.list {
		if one.ID == fmt.Sprintf("%x", id) {
			t.List = append(t.List, one)
		}
	}
	return t, f.err
}

// slowTrace is the request of the examples: historian on ops-4 lets two attempts time out.
func slowTrace() control.Trace {
	ms := time.Millisecond
	span := func(id, parent uint64, depth int, caller, service, method, version, host string, began, took,
		own time.Duration) control.TraceSpan {
		s := control.TraceSpan{ID: id, Parent: parent, Depth: depth, Service: service, Method: method, Version: version,
			Caller: caller, Attempt: 1, Instance: "10.20.0.4:7010", Began: began, Took: took, Shown: took, Own: own,
			CallerProcess: "ops-1/412/a", CalleeProcess: host + "/412/a"}
		return s
	}
	t := control.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Took: 3000 * ms, Service: "portal",
		Method: "tankPage", From: "gateway", Failure: "deadline_exceeded",
		Retried: true, Calls: 6, Services: []string{"auth", "db", "historian", "portal", "proc"},
		Processes: []string{"ops-1/412/a", "ops-2/412/a", "ops-4/412/a"}, Release: "1.9"}
	t.Began = time.Date(2026, 11, 29, 3, 12, 4, 118e6, time.Local)
	root := span(1, 9, 0, "gateway", "portal", "tankPage", "v3", "ops-2", 0, 3000*ms, 31*ms)
	root.Parts = []control.TracePart{{Began: 3 * ms, Took: 38 * ms}, {Began: 44 * ms, Took: 1498 * ms},
		{Began: 1560 * ms, Took: 1440 * ms}}
	root.Failure = "deadline_exceeded"
	proc := span(3, 1, 1, "portal", "proc", "tank", "v1", "ops-2", 11*ms, 30*ms, 7*ms)
	proc.Parts = []control.TracePart{{Began: 14 * ms, Took: 23 * ms}}
	first := span(5, 1, 1, "portal", "historian", "query", "v4", "ops-4", 44*ms, 1498*ms, 1498*ms)
	first.Failure, first.Rules, first.Limit = "deadline_exceeded", "attempt_timeout 1.5s, retries 1", 2956*ms
	second := span(6, 1, 1, "portal", "historian", "query", "v4", "ops-4", 1560*ms, 1440*ms, 1440*ms)
	second.Failure, second.Attempt, second.Wait, second.Limit = "deadline_exceeded", 2, 340*ms, 1440*ms
	second.Mark = "<script>alert(1)</script>"
	auth := span(2, 1, 1, "portal", "auth", "verify", "v1", "ops-1", 3*ms, 5*ms, 5*ms)
	t.Spans = []control.TraceSpan{root, auth, proc,
		span(4, 3, 2, "proc", "db", "select", "v1", "ops-1", 14*ms, 23*ms, 23*ms), first, second}
	return t
}

func withTraces(t *traced) *snapshot {
	s := night()
	s.Tracer = t
	return s
}

// TestTracesPage: the list and the waterfall of the slowest trace are one page; the longest own time is chosen.
func TestTracesPage(t *testing.T) {
	from := &traced{list: []control.Trace{slowTrace()}}
	h := signedIn(t, still{withTraces(from)}, Config{})
	for _, l := range languages {
		body := get(t, h, "/traces", in(l)).Body.String()
		for _, want := range []string{"portal.tankPage", "historian", "ops-4", "attempt_timeout 1.5s, retries 1",
			`class="b-bad"`, `class="wf-in"`, "4bf92f3577b34da6a3ce929d0e0e4736", "format=file",
			"no answer &lt;b&gt;"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is missing", l, want)
			}
		}
	}
	one := get(t, h, "/traces", in(english)).Body.String()
	if !strings.Contains(one, "spends its time in historian (ops-4)") {
		t.Error("the sentence of one trace is missing")
	}
	body := get(t, h, "/traces?span=0000000000000006", in(english)).Body.String()
	for _, want := range []string{"Waited for a place or an instance", "340 ms", `class="wf-wait"`,
		"&lt;script&gt;alert(1)", "1,440 of 1,440 ms that were left", "historian query, attempt 2"} {
		if !strings.Contains(body, want) {
			t.Errorf("span 6: %q is missing", want)
		}
	}
	if strings.Contains(body, "<script>alert") {
		t.Error("a mark becomes a script")
	}
	get(t, h, "/traces?kind=failed&service=historian&method=query&failure=timeout&mark=drill")
	want := control.TraceFilter{Service: "historian", Method: "query", Failure: "timeout", Mark: "drill",
		Since: time.Hour, Failed: true}
	if got := from.asked[len(from.asked)-1]; got != want {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
}

// TestTracesAsJSON: the page's own form, and that of OpenTelemetry.
func TestTracesAsJSON(t *testing.T) {
	h := signedIn(t, still{withTraces(&traced{list: []control.Trace{slowTrace()}})}, Config{})
	var doc struct{ Traces tracesPage }
	if err := json.Unmarshal(get(t, h, "/traces?format=json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	p := doc.Traces
	if len(p.Traces) != 1 || p.Chosen == nil || len(p.Chosen.Spans) != 6 || p.Chosen.Own[0].Service != "historian" ||
		p.Chosen.Own[0].Share < 97 || p.Answered != 6 || p.Every != 64 {
		t.Errorf("%+v", p)
	}
	for _, s := range p.Chosen.Spans {
		if s.Longest != (s.Service == "historian" && s.Attempt == 1) {
			t.Errorf("longest: %+v", s)
		}
	}
	var otlp map[string]any
	w := get(t, h, "/traces?format=file&trace=4bf92f3577b34da6a3ce929d0e0e4736")
	if err := json.Unmarshal(w.Body.Bytes(), &otlp); err != nil || otlp["resourceSpans"] == nil {
		t.Errorf("%v: %s", err, w.Body)
	}
}

// TestPastedTraces: what is pasted is found as an id or a traceparent; anything else is said to be none.
func TestPastedTraces(t *testing.T) {
	h := signedIn(t, still{withTraces(&traced{list: []control.Trace{slowTrace()}})}, Config{})
	for pasted, want := range map[string]string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":                  "Waterfall",
		"traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n": "Waterfall",
		" 4bf92f3577b34da6a3ce929d0e0e4736 ":                                       "Waterfall",
		"4bf92f3577b34da6a3ce929d0e0e4737":                                         "No process keeps a span of",
		"'\"><img src=x onerror=alert(1)>":                                         "is neither a traceparent",
		strings.Repeat("0", 32):                                                    "is neither a traceparent",
		strings.Repeat("\x00\xff", 5000):                                           "is neither a traceparent",
	} {
		w := get(t, h, "/traces?trace="+url.QueryEscape(pasted), in(english))
		if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, want) || strings.Contains(body, "<img") {
			t.Errorf("%.40q: status %d, without %q", pasted, w.Code, want)
		}
	}
}

// TestNoTraces: without answers the page says so.
func TestNoTraces(t *testing.T) {
	for want, from := range map[string]*traced{"No process has kept": {}, "could not be asked: no lists": {
		err: errors.New("no lists")}} {
		h := signedIn(t, still{withTraces(from)}, Config{})
		if w := get(t, h, "/traces", in(english)); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("status %d, without %q", w.Code, want)
		}
	}
}

// TestTracesAreAskedOnce for pages that are open at once, and hostile filters do not fill the memory.
func TestTracesAreAskedOnce(t *testing.T) {
	from := &traced{}
	a := &askedTraces{of: from}
	for range 10 {
		a.List(t.Context(), control.TraceFilter{Service: "auth"})
	}
	if len(from.asked) != 1 {
		t.Errorf("asked %d times", len(from.asked))
	}
	for i := range 1000 {
		a.List(t.Context(), control.TraceFilter{Service: fmt.Sprint(i)})
	}
	if len(a.last) > mostAsked {
		t.Errorf("%d answers are remembered", len(a.last))
	}
}
