package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// portal calls historian twice: a call that is made again at another instance, and one that fails.
type portal struct {
	wire.Internal
	node *skerry.Node
}

func (p portal) WhoAmI(ctx context.Context) (*wire.Identity, error) {
	c := wire.NewInternalClient(p.node.Client("historian", func(o *rpc.ServiceOptions) {
		o.Attempt, o.Idempotent, o.Retries = 150*time.Millisecond, []string{"ping"}, new(1)
	}))
	if err := c.Ping(ctx); err != nil {
		return nil, err
	}
	if _, err := c.Describe(ctx); err == nil {
		return nil, errors.New("historian describes itself")
	}
	return &wire.Identity{Release: "well", Services: []string{}, Owner: &wire.Owner{}}, nil
}

// historian takes long for the first calls of all instances, and describes nothing.
type historian struct {
	wire.Internal
	slow *atomic.Int64
}

func (h historian) Ping(context.Context) error {
	if h.slow.Add(-1) >= 0 {
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}

func (h historian) Describe(context.Context) (*wire.Description, error) {
	return nil, errors.New("no description")
}

const sampledTrace = "00-4bf92f3577b34da6a3ce929d0e0e4740-00f067aa0ba902b7-01"

// TestOneTraceOfThreeProcesses: a request that goes through three services, with a retry and a failure, is one whole
// trace.
func TestOneTraceOfThreeProcesses(t *testing.T) {
	site := lanSite(t)
	offer := func(name, version string, of wire.Internal) *skerry.Node {
		c := site
		c.StateDir, c.Service = t.TempDir(), config.Service{Name: name, Version: version}
		n := open(t, c)
		if p, is := of.(portal); is {
			p.node = n
			of = p
		}
		must(t, "offer", n.Handle(t.Context(), name, wire.NewInternalProcessor(of)))
		return n
	}
	var slow atomic.Int64
	offer("historian", "v4", historian{slow: &slow})
	offer("historian", "v4", historian{slow: &slow})
	front := offer("portal", "v3", portal{})
	c := site
	c.StateDir, c.Service = t.TempDir(), config.Service{}
	user := open(t, c, skerry.WithCaller("desk"))
	ask := wire.NewInternalClient(user.Client("portal"))
	eventually(t, "all are called", func() bool {
		_, err := ask.WhoAmI(t.Context())
		n := 0
		for _, e := range front.Explain("historian") {
			if e.State == discovery.OK || e.State == discovery.Warming {
				n++
			}
		}
		return err == nil && n == 2
	})
	slow.Store(1)
	_, err := ask.WhoAmI(rpc.WithTrace(t.Context(), sampledTrace, ""))
	must(t, "the request", err)
	time.Sleep(400 * time.Millisecond) // until the slow handler has ended

	c.StateDir = "none"
	guest := open(t, c, skerry.AsObserver(), skerry.WithAllServices())
	id, err := control.ParseTraceID(sampledTrace)
	must(t, "read", err)
	tracer := control.NewTracer(guest)
	var found control.Traces
	eventually(t, "all processes answer", func() bool {
		found, err = tracer.One(t.Context(), id)
		must(t, "find", err)
		return found.Answered == 4
	})
	if found.Answered != 4 || len(found.Silent) != 0 || len(found.List) != 1 {
		t.Fatalf("%+v", found)
	}
	trace := found.List[0]
	var shape []string
	for _, s := range trace.Spans {
		what := strings.Repeat(" ", s.Depth) + s.Service + "." + s.Method
		if s.Attempt > 1 {
			what += " again"
		}
		shape = append(shape, strings.TrimSpace(what+" "+s.Failure))
		if !s.Lost && (s.CalleeProcess == "" || s.CallerProcess == "") {
			t.Errorf("one side is missing: %+v", s)
		}
	}
	want := "desk.|portal.whoAmI|historian.ping deadline_exceeded|historian.ping again|" +
		"historian.describe handler_failed"
	if got := strings.Join(shape, "|"); got != want {
		t.Errorf("the trace is\n%s", strings.ReplaceAll(got, "|", "\n"))
	}
	if trace.From != "desk" || trace.Service != "portal" || trace.Failure != "" || !trace.Retried ||
		trace.Calls != 4 || len(trace.Services) != 2 || len(trace.Processes) != 4 || trace.Took < 150*time.Millisecond {
		t.Errorf("%+v", trace)
	}
	for _, s := range trace.Spans[1:] {
		parent := trace.Spans[0]
		if s.Depth == 2 {
			parent = trace.Spans[1]
		}
		if s.Began < parent.Began || s.Began+s.Shown > parent.Began+parent.Shown {
			t.Errorf("%s begins at %v and takes %v, outside its parent's %v and %v", s.Method, s.Began, s.Shown,
				parent.Began, parent.Shown)
		}
	}

	for what, f := range map[string]control.TraceFilter{
		"failed":    {Failed: true, Service: "historian", Since: time.Hour},
		"slowest":   {Slower: 100 * time.Millisecond},
		"by method": {Service: "historian", Method: "ping", Slower: 100 * time.Millisecond},
	} {
		eventually(t, what+": the trace is listed", func() bool {
			list, err := tracer.List(t.Context(), f)
			must(t, what, err)
			return slices.ContainsFunc(list.List, func(l control.Trace) bool {
				return l.ID == trace.ID && len(l.Spans) == len(trace.Spans)
			})
		})
	}
	none, err := tracer.List(t.Context(), control.TraceFilter{Service: "';--\x00\xff%s{{", Mark: "<b>"})
	if err != nil || len(none.List) != 0 || none.Answered == 0 {
		t.Errorf("a hostile filter: %+v, %v", none, err)
	}
	checkOTLP(t, found.List)
}

// checkOTLP: spans of the exported form have ids of their own, and parents among them.
func checkOTLP(t *testing.T, list []control.Trace) {
	t.Helper()
	text, err := json.Marshal(control.ToOTLP(list))
	must(t, "export", err)
	var doc struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, ParentSpanID, StartTimeUnixNano, EndTimeUnixNano string
					Kind                                                              int
				}
			}
		}
	}
	must(t, "read the export", json.Unmarshal(text, &doc))
	ids, parents, servers := map[string]bool{}, 0, 0
	for _, r := range doc.ResourceSpans {
		for _, s := range r.ScopeSpans[0].Spans {
			if ids[s.SpanID] || len(s.SpanID) != 16 || s.TraceID != list[0].ID {
				t.Errorf("%+v", s)
			}
			ids[s.SpanID] = true
		}
	}
	for _, r := range doc.ResourceSpans {
		for _, s := range r.ScopeSpans[0].Spans {
			if ids[s.ParentSpanID] {
				parents++
			}
			if s.Kind == 2 {
				servers++
			}
		}
	}
	if len(ids) != 8 || servers != 4 || parents != 7 {
		t.Errorf("%d spans, %d of servers, %d with a parent:\n%s", len(ids), servers, parents, text)
	}
}
