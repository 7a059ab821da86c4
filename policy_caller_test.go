package skerry

import (
	"context"
	"fmt"
	"testing"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// governedSite is a caller in hall-1, and anna in hall-1 and bert in hall-2 that it calls. say gives the site a policy.
func governedSite(t *testing.T) (caller *Node, say func(rules string), met func() map[string]int) {
	t.Helper()
	site := lanSite(t)
	site.Zone = "hall-1"
	offering(t, site, &greeter{name: "anna"})
	caller = open(t, site)
	site.Zone = "hall-2"
	offering(t, site, &greeter{name: "bert"})
	eventually(t, "both are listed", func() bool { return len(caller.Explain("greeter")) == 2 })
	say = func(rules string) {
		t.Helper()
		learnPolicy(t, caller, signedPolicy(t, caller, "policy: 1\nservices: {greeter: "+rules+"}\n"))
	}
	met = func() map[string]int {
		names := map[string]int{}
		for range 60 {
			name, err := greet(t.Context(), caller)
			if err != nil {
				name = rpc.CodeOf(err).String()
			}
			names[name]++
		}
		return names
	}
	return caller, say, met
}

// TestCallersObeyThePolicy: every kind for callers takes effect in a running process and ends with the policy.
func TestCallersObeyThePolicy(t *testing.T) {
	caller, say, met := governedSite(t)
	both := func() bool { m := met(); return len(m) == 2 && m["anna"] > 0 && m["bert"] > 0 }
	only := func(name string) func() bool {
		return func() bool { return fmt.Sprint(met()) == fmt.Sprintf("map[%s:60]", name) }
	}
	eventually(t, "both are called", both)

	say(`{weights: [{zone: hall-2, weight: 0}]}`)
	eventually(t, "a weight of 0 keeps calls away", only("anna"))
	say(`{zone_first: true}`)
	eventually(t, "zone_first prefers the own hall", only("anna"))
	say(`{balancer: round-robin}`)
	eventually(t, "round-robin takes turns", func() bool { m := met(); return m["anna"] == 30 && m["bert"] == 30 })

	now := func(what string, ok func() bool) {
		t.Helper()
		if !ok() {
			t.Errorf("from the next call on: %s: got %v", what, met())
		}
	}
	say(`{route: [{match: {zone: hall-1}, to: {zone: hall-2}, else: none}]}`)
	now("a route leads to the other hall", only("bert"))
	say(`{route: [{match: {zone: hall-2}, to: {zone: hall-1}, else: none}]}`)
	now("a route of other callers", both)
	say(`{wait: none, route: [{to: {zone: hall-9}, else: none}]}`)
	now("a route to nowhere", only("no_instance"))
	say(`{route: [{to: {zone: hall-9}, else: all}]}`)
	now("a route to nowhere, else all", both)
	say(`{faults: [{error: overloaded, expires: 1h}]}`)
	now("a fault", only("overloaded"))
	say(`{faults: [{error: overloaded, expires: 1h}], fallback: [{on: [overloaded], reply: {release: none}}]}`)
	now("a fallback answers a fault", only("none"))
	say(`{max_rate: 1}`)
	now("max_rate", func() bool { return met()["limit_exceeded"] > 50 })
	say(`{}`)
	eventually(t, "both are called after the policy", both)

	sum := map[health.Outcome]int64{}
	for _, row := range caller.Stats().Rows() {
		for o, n := range row.Outcomes {
			if row.Service == "greeter" && row.Side == health.Client {
				sum[health.Outcome(o)] += n
			}
		}
	}
	if sum[health.Injected] != 60 || sum[health.Fallback] != 60 || sum[health.Refused] != 0 {
		t.Errorf("counted %v: want 60 injected and 60 fallbacks, none as a refusal", sum)
	}
}

// TestPolicyOfCallersExpires: what expires ends by itself at callers, in calls and in lists.
func TestPolicyOfCallersExpires(t *testing.T) {
	caller, say, met := governedSite(t)
	say(`{weights: [{zone: hall-2, weight: 0, expires: 1s}], faults: [{error: overloaded, expires: 1s}]}`)
	if m := met(); m["overloaded"] == 0 {
		t.Errorf("before the end: %v", m)
	}
	eventually(t, "weight and fault have ended", func() bool { m := met(); return m["anna"] > 0 && m["bert"] > 0 })
	for _, e := range caller.Explain("greeter") {
		if e.State == discovery.Excluded {
			t.Errorf("%s is still excluded: %s", e.Addr, e.Why)
		}
	}
}

// TestPolicyKeepsConnections: a policy that comes, changes and goes closes no connection.
func TestPolicyKeepsConnections(t *testing.T) {
	site := lanSite(t)
	peers := map[string]bool{}
	offering(t, site, &greeter{name: "anna", ping: func(ctx context.Context) error {
		peers[rpc.CallInfoFrom(ctx).Peer] = true
		return nil
	}})
	caller := open(t, site)
	for _, rules := range []string{"", `{timeout: 2s, balancer: hash}`, `{weights: [{host: h, weight: 7}]}`, `{}`} {
		if rules != "" {
			learnPolicy(t, caller, signedPolicy(t, caller, "policy: 1\nservices: {greeter: "+rules+"}\n"))
		}
		for range 10 {
			must(t, "call", wire.NewInternalClient(caller.Client("greeter")).Ping(t.Context()))
		}
	}
	if len(peers) != 1 {
		t.Errorf("calls came by %d connections, want 1", len(peers))
	}
}

// TestPolicyRoutesOtherProtocols: a picker for callers of other protocols follows the policy's routes and weights.
func TestPolicyRoutesOtherProtocols(t *testing.T) {
	caller, say, _ := governedSite(t)
	picks := func() map[string]int {
		zones := map[string]int{}
		for range 60 {
			call := &rpc.Call{Service: "greeter", Method: "GET", Attempt: 1}
			e, err := caller.Picker("greeter").Pick(t.Context(), call)
			must(t, "pick", err)
			for _, entry := range caller.Explain("greeter") {
				if entry.Addr == e.Addr {
					zones[entry.Zone]++
				}
			}
		}
		return zones
	}
	eventually(t, "both are picked", func() bool { return len(picks()) == 2 })
	say(`{route: [{match: {method: GET}, to: {zone: hall-2}, else: none}]}`)
	if got := picks(); got["hall-2"] != 60 {
		t.Errorf("by the route: %v", got)
	}
	say(`{route: [{match: {method: PUT}, to: {zone: hall-2}, else: none}]}`)
	if got := picks(); len(got) != 2 {
		t.Errorf("by the route of another method: %v", got)
	}
}
