package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc"
)

// agentOf is a node that has only an agent.
type agentOf struct{ *participant.Agent }

func (a agentOf) Rollout() *participant.Agent { return a.Agent }

func TestTransportBringsTheTraceAlong(t *testing.T) {
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	var got rollout.Token
	var baggage, trace string
	behind := httptest.NewServer(
		gateway.Join(agentOf{agent}, "web", "v1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, baggage, trace = participant.TraceFrom(r.Context()).Token(), r.Header.Get("Baggage"),
				rpc.CallInfoFrom(r.Context()).Trace
		})))
	defer behind.Close()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	root := agent.Begin("job", 42, "")
	defer root.End()
	ctx := rpc.WithBaggage(rpc.WithTrace(root.Context(t.Context()), parent, ""), "tenant=7")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, behind.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: gateway.Transport(nil)}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got != root.Token() || agent.Orphans() != 0 {
		t.Errorf("joined %v, want %v", got, root.Token())
	}
	if len(trace) != len(parent) || trace[:35] != parent[:35] || trace == parent {
		t.Errorf("the trace went on as %s", trace)
	}
	if len(request.Header) != 0 || baggage == "" {
		t.Errorf("the caller's request has headers %v; the callee saw baggage %q", request.Header, baggage)
	}
}

// TestTransportKeepsCopiesFromChanges: in the copy of a call only requests that change nothing are sent.
func TestTransportKeepsCopiesFromChanges(t *testing.T) {
	var met []string
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		met = append(met, r.Method+" "+r.Header.Get("Baggage"))
	}))
	defer behind.Close()
	client := &http.Client{Transport: gateway.Transport(nil)}
	send := func(method, baggage string) error {
		ctx := rpc.WithBaggage(t.Context(), baggage)
		request, err := http.NewRequestWithContext(ctx, method, behind.URL, strings.NewReader("text"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	for _, baggage := range []string{"tenant=7", "tenant=7,skerry-mirror=1"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			err := send(method, baggage)
			if refused := strings.Contains(baggage, "mirror") && method == http.MethodPost; refused != (err != nil) ||
				refused && rpc.CodeOf(err) != rpc.Shadow {
				t.Errorf("%s with the baggage %s: %v", method, baggage, err)
			}
		}
	}
	want := []string{"GET tenant=7", "POST tenant=7", "GET tenant=7,skerry-mirror=1"}
	if !slices.Equal(met, want) {
		t.Errorf("sent were %q, want %q", met, want)
	}
}
