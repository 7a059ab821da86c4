package skerry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry/registrytest"
)

// TestSight: a process that is asked about a service looks it up, but adds nothing to the call
// graph, and looks up only a bounded number, whatever the question.
func TestSight(t *testing.T) {
	hub := &registrytest.MemoryStore{}
	offering(t, Config{Service: config.Service{Name: "greeter", Version: "v1", Advertise: "127.0.0.1"}},
		&greeter{name: "anna"}, memorySite(hub))
	n := open(t, Config{}, memorySite(hub))
	asked, limit := n.internal, 256
	ask := func(names ...string) map[string][]string {
		t.Helper()
		sees, err := asked.Sees(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		return sees
	}
	eventually(t, "greeter v1 is seen", func() bool {
		return slices.Contains(ask("greeter", "-no name")["greeter"],
			"v1")
	})
	if calls := n.rules.Report(rollout.Question{}).Calls; len(calls) != 0 {
		t.Errorf("the call graph has %v by a question", calls)
	}
	var names []string
	for i := range limit {
		names = append(names, fmt.Sprint("service-", i))
	}
	ask(names...)
	if got := len(n.lists.Services()); got != limit {
		t.Errorf("%d services are looked for, want %d", got, limit)
	}
	if sees := ask("greeter", "one-more"); len(sees["greeter"]) != 1 {
		t.Errorf("at the bound sees %v", sees)
	}
	if _, err := asked.Sees(t.Context(), append(names, "one-more")); err == nil ||
		!strings.Contains(err.Error(), "at most 256") {
		t.Errorf("too many names: %v", err)
	}
}
