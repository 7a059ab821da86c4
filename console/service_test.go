package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/recent"
)

// TestServiceFigures: a service's page has methods and latencies by version, plain clients as its callee has counted
// them, each instance's own counts, and says what is missing.
func TestServiceFigures(t *testing.T) {
	h := signedIn(t, still{night()}, Config{})
	var doc struct{ Service servicePage }
	page := func(name string) servicePage {
		doc.Service = servicePage{}
		if err := json.Unmarshal(get(t, h, "/services/"+name+"?format=json").Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.Service
	}
	auth := page("auth")
	if m := auth.Methods; len(m) != 2 || m[0].Method != "verify" || m[0].Version != "v1" || m[1].Version != "v2" ||
		m[0].P99 >= m[1].P99 || m[0].P50 == 0 {
		t.Errorf("methods: %+v", m)
	}
	if v := auth.Versions; len(v) != 2 || v[0].Calls != 24000 || v[0].Own == 0 || v[0].P50 > v[0].P99 {
		t.Errorf("latencies: %+v", v)
	}
	historian := page("historian")
	served := map[string]bool{}
	for _, e := range historian.In {
		served[e.From] = e.Served
	}
	if want := map[string]bool{"ip:10.20.0.99": true, "portal": false, "report": false}; len(served) != len(want) ||
		!served["ip:10.20.0.99"] || served["portal"] || served["report"] {
		t.Errorf("callers: %+v", historian.In)
	}
	worst := historian.Instances[0]
	if worst.Host != "ops-4" || worst.Failed < 40 || worst.Own == nil || worst.Own.Failed != 0 || !worst.Odd {
		t.Errorf("the worst instance: %+v, its own counts %+v", worst, worst.Own)
	}
	if rest := historian.Instances[1]; rest.Odd || rest.Own == nil || rest.Own.P99 == 0 {
		t.Errorf("another instance: %+v", rest)
	}
	if len(historian.Untold.Older) != 1 || historian.Untold.Calls != 40 {
		t.Errorf("untold: %+v", historian.Untold)
	}
	body := get(t, h, "/services/historian", in(english)).Body.String()
	for _, want := range []string{"the callee", "ip:10.20.0.99", "is of an older release", "40 calls of 3 kinds",
		"by its own count"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// TestFlowsOfBothSides: calls that both sides have counted are one flow; those of callers that tell nothing are known
// by the callee.
func TestFlowsOfBothSides(t *testing.T) {
	calls := func(process, caller string, served, twice bool, n int64) control.RecentCalls {
		c := control.RecentCalls{Process: process, Caller: caller, Service: "auth", Method: "verify", Version: "v1",
			Served: served, Twice: twice, Calls: n, Rate: float64(n) / 75}
		c.Latency.Add(3*time.Millisecond, n)
		return c
	}
	all := []control.RecentCalls{calls("a/1/x", "portal", false, false, 10), calls("a/2/x", "portal", false, false, 5),
		calls("b/3/x", "portal", true, true, 15), calls("b/3/x", "ip:10.0.0.7", true, false, 4)}
	flows := flowsOf(all)
	if len(flows) != 2 || flows[0].Calls != 15 || flows[0].Served || flows[0].Rate != 0.2 || flows[1].Calls != 4 ||
		!flows[1].Served {
		t.Errorf("flows: %+v", flows)
	}
	if own := of(ownFigures(all), place{"b/3/x", "auth", "v1"}); own.Calls != 19 || own.Latency.Calls() != 19 {
		t.Errorf("own figures: %+v", own)
	}
	edges := byEdge(append(flows, flow{Caller: "portal", Service: "auth", Method: "other", Calls: 60}))
	sum := map[string]int64{}
	for _, e := range edges {
		sum[e.Caller] += e.Calls
	}
	if len(edges) != 2 || sum["portal"] != 75 {
		t.Errorf("edges: %+v", edges)
	}
}

// TestHourOfFlows: what a service is compared with is about an hour old, and few flows are kept for it.
func TestHourOfFlows(t *testing.T) {
	l, begun := &live{}, time.Now()
	for minute := range 90 {
		s := &snapshot{At: begun.Add(time.Duration(minute) * time.Minute), Flows: []flow{{Caller: "portal",
			Service: "auth", Calls: int64(minute), Latency: recent.Steps{}}}}
		l.keep(s)
		if known := len(s.Before) > 0; known != (minute > 50) {
			t.Fatalf("minute %d: compared with %+v", minute, s.Before)
		} else if known {
			if age := minute - int(s.Before[0].Calls); age < 50 || age > 60 {
				t.Errorf("minute %d is compared with %d minutes before", minute, age)
			}
		}
		if len(s.Hour) != min(minute+1, keptPoints) {
			t.Errorf("minute %d: %d points", minute, len(s.Hour))
		}
	}
	kept := 0
	for _, m := range l.marks {
		if m.flows != nil {
			kept++
		}
	}
	if kept != keptPoints/keptFlows {
		t.Errorf("flows of %d minutes are kept", kept)
	}
}

// TestFlowsThatAreNotTold: counts since the start of a process stand for calls that neither side has told, such as a
// gateway's requests to HTTP services, and for no others.
func TestFlowsThatAreNotTold(t *testing.T) {
	of := func(process, caller, service string, served bool) control.RecentCalls {
		return control.RecentCalls{Process: process, Caller: caller, Service: service, Served: served, Calls: 9,
			Rate: 1}
	}
	calls := []control.RecentCalls{of("g/1/a", "gateway", "auth", false), of("b/1/a", "old", "auth", true)}
	l := &live{flows: flowsOf(calls), made: madeBy(calls)}
	untold := l.untold()
	for _, c := range []struct {
		process, caller, service string
		want                     bool
	}{
		{"g/1/a", "gateway", "auth", false}, // told by the caller
		{"g/1/a", "gateway", "web", true},   // by HTTP
		{"o/1/a", "old", "auth", false},     // told by the callee
		{"o/1/a", "old", "db", true},        // both are of an older release
		{"g/2/a", "gateway", "auth", true},  // another process of its name, which is older
	} {
		if got := untold(flowKey{process: c.process, caller: c.caller, service: c.service}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
