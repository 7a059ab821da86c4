package main

import (
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
)

// TestPolicyCutsNoOperatorOff: apply and try refuse an access list that would refuse skerry call, and name the cure.
// With it, or with --confirm or --although, the policy is taken; no access list touches the commands' own questions.
func TestPolicyCutsNoOperatorOff(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	idl := clockFile(t)
	call := func() int {
		code, _, _ := cli(t, "", "call", "clock", "now", `{"zone":{"name":"UTC"}}`, "--thrift", idl, "-c", cfg)
		return code
	}
	text := "policy: 1\nservices:\n  clock:\n    access: {mode: enforce, default: deny, allow: [{caller: portal}]}\n"
	says := "services.clock.access: it would refuse all calls of clock by skerry-cli (skerry call); add {caller: " +
		"skerry-cli} to allow, or apply it with --confirm 10m"
	for _, command := range [][]string{{"apply", "-", "--yes"}, {"try", "-"}} {
		code, out, errs := policyCommand(t, cfg, text, command...)
		if code != exitProblem || !strings.Contains(out+errs, says) {
			t.Errorf("%v: exit code %d\n%s%s", command, code, out, errs)
		}
	}
	if number, _ := policyOf(n); number != 0 || call() != exitOK {
		t.Errorf("policy %d is obeyed", number)
	}
	if code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--confirm", "10m"); code != exitOK {
		t.Errorf("--confirm: exit code %d\n%s%s", code, out, errs)
	}
	if call() == exitOK {
		t.Error("skerry call is not refused, so the warning was wrong")
	}
	if code, out, errs := policyCommand(t, cfg, "", "undo", "--yes"); code != exitOK {
		t.Errorf("undo under the list: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--although",
		"services.clock.access"); code != exitOK {
		t.Errorf("--although: exit code %d\n%s%s", code, out, errs)
	}
	cured := strings.Replace(text, "portal", "[portal, skerry-cli]", 1)
	if code, out, errs := policyCommand(t, cfg, cured, "apply", "-", "--yes"); code != exitOK || call() != exitOK {
		t.Errorf("with the cure: exit code %d\n%s%s", code, out, errs)
	}
}

// TestCallersOfTheSite: processes tell by which name they call, and which services they have called.
func TestCallersOfTheSite(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Log.Level = "error"
	named, err := skerry.Open(t.Context(), c, skerry.WithCaller("portal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { named.Close() })
	edge, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edge.Close() })
	edge.BeGateway()
	for _, n := range []*skerry.Node{named, edge} {
		eventually(t, "clock is called", func() bool { return callClock(t, n) == nil })
	}
	watcher, err := skerry.Open(t.Context(), c, skerry.AsObserver(), skerry.WithAllServices())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watcher.Close() })
	eventually(t, "both have told", func() bool {
		list, err := control.NewPolicies(watcher, control.Operator{}).Callers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]control.Caller{}
		for _, c := range list {
			by[c.Process] = c
		}
		portal, gateway := by[named.Membership().Owner().String()], by[edge.Membership().Owner().String()]
		return portal.Name == "portal" && !portal.Gateway && portal.Calls["clock"] > 0 &&
			gateway.Name == "ip:127.0.0.1" && gateway.Gateway && gateway.Calls["clock"] > 0
	})
}
