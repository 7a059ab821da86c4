package gateway_test

import (
	"net/http"
	"testing"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/rpc"
)

// TestRequestsAreRemembered: a request to an HTTP service is remembered once, with version, outcome and latency, also
// when no instance of it serves.
func TestRequestsAreRemembered(t *testing.T) {
	s := newSite(t)
	server := s.web(s.node, "v1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/app/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	s.listed(server.Listener.Addr().String())
	gate := s.gate()
	for path, status := range map[string]int{"/app/x": 200, "/app/y": 200, "/app/broken": 500} {
		answer, err := http.Get(gate.URL + path)
		if err != nil || answer.StatusCode != status {
			t.Fatalf("%s: %v, %v", path, answer, err)
		}
		answer.Body.Close()
	}
	var web *recent.Calls
	records := s.node.Recent().Last(60)
	for i := range records.Kinds {
		if records.Kinds[i].Service == "web" {
			if web != nil {
				t.Errorf("a second kind: %+v", records.Kinds[i].Key)
			}
			web = &records.Kinds[i]
		}
	}
	if web == nil {
		t.Fatal("nothing is remembered")
	}
	want := recent.Key{Side: recent.Caller, Service: "web", Method: "GET", Version: "v1", HTTP: true}
	failed := web.Outcomes[recent.FirstCode+uint8(rpc.HandlerFailed)]
	if web.Key != want || web.Sum() != 3 || web.Outcomes[recent.OK] != 2 || failed != 1 {
		t.Errorf("%+v: %d calls, outcomes %v", web.Key, web.Sum(), web.Outcomes)
	}
	if over, _ := web.Latencies.Over(0); over != 3 {
		t.Errorf("%d latencies", over)
	}
}
