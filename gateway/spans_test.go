package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/spans"
)

// TestRequestsAreSpans: a request is the first span of its trace, under the path of its route. The call that it leads
// to is below it.
func TestRequestsAreSpans(t *testing.T) {
	s := newSite(t)
	n := s.open(config.Service{Name: "auth", Version: "v1"})
	if err := n.Handle(t.Context(), "auth", authapi.NewAuthProcessor(patience{})); err != nil {
		t.Fatal(err)
	}
	addr, _ := s.serve(func(c *gateway.Config) {
		c.Routes = append(c.Routes, config.Route{Path: "/auth", Service: "auth",
			Thrift: "../examples/portal/idl/auth.thrift"})
	})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4740" // all its calls are kept
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/auth/verify",
		strings.NewReader(`{"token":"secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
	id, _, _ := spans.IDs("00-" + trace + "-00f067aa0ba902b7-01")
	var found []spans.Span
	end := time.Now().Add(10 * time.Second)
	for ; len(found) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		found, _ = s.node.Spans().Find(spans.Filter{Traces: [][16]byte{id}})
	}
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	call, edge := found[0], found[1] // the newest is first
	if edge.Side != spans.Edge || edge.Service != "gateway" || edge.Method != "POST /auth" || edge.Failure != "" ||
		edge.Took < 300*time.Millisecond || call.Parent != edge.ID || call.Service != "auth" {
		t.Errorf("edge %+v\ncall %+v", edge, call)
	}
}
