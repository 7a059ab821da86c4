package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/rpc"
)

// compiled is the table of a text.
func compiled(t *testing.T, text string) *policy.Table {
	t.Helper()
	p, problems := form.Read([]byte(text))
	if p == nil {
		t.Fatalf("%s\n%v", text, problems)
	}
	return policy.Compile(p, nil, 0)
}

// callClock calls reset of the clock.
func callClock(t *testing.T, n *skerry.Node) error {
	t.Helper()
	_, err := n.Client("clock").Call(t.Context(), "reset", &wire.InternalPingArgs{}, &wire.InternalPingResult{})
	return err
}

// TestPolicyAccess leads an access list from audit to enforce: the calls of the audit are listed over all processes,
// the suggestion is a policy, and with it only these calls are executed.
func TestPolicyAccess(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	one, two := offerClock(t, cfg), offerClock(t, cfg)
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	if code, out, errs := policyCommand(t, cfg, "", "access", "clock"); code != exitOK ||
		!strings.Contains(out, "No access list has refused") {
		t.Errorf("without a policy: exit code %d\n%s%s", code, out, errs)
	}
	audit := "policy: 1\nservices:\n  clock:\n    access:\n      mode: audit\n      default: deny\n"
	if code, out, errs := policyCommand(t, cfg, audit, "apply", "-", "--yes"); code != exitOK {
		t.Fatalf("audit: exit code %d\n%s%s", code, out, errs)
	}
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "portal", Listen: "127.0.0.1:0"}
	portal, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { portal.Close() })
	eventually(t, "portal lists both", func() bool { return len(portal.Explain("clock")) == 2 })
	for range 40 {
		if err := callClock(t, portal); err != nil {
			t.Fatalf("in the audit: %v", err)
		}
	}
	code, out, errs := policyCommand(t, cfg, "", "access", "clock", "--json")
	var doc policychange.Accessed
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || doc.Answered != 3 ||
		len(doc.Calls) != 1 || doc.Calls[0].Calls != 40 || doc.Calls[0].Caller != "portal" ||
		doc.Calls[0].Proof != "name" || doc.Calls[0].Enforced {
		t.Fatalf("access --json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	code, out, errs = policyCommand(t, cfg, "", "access", "clock", "--suggest")
	if code != exitOK || !strings.Contains(out, "- {caller: portal, method: reset}") {
		t.Fatalf("access --suggest: exit code %d\n%s%s", code, out, errs)
	}
	text := "policy: 1\n" + strings.Replace(out, "access:\n", "access:\n      mode: enforce\n      default: deny\n", 1)
	if code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--confirm", "10m"); code != exitOK {
		t.Fatalf("the suggestion: exit code %d\n%s%s\n%s", code, out, errs, text)
	}
	if err := callClock(t, portal); err != nil {
		t.Errorf("what was suggested: %v", err)
	}
	if err := callClock(t, two); rpc.CodeOf(err) != rpc.AccessDenied {
		t.Errorf("another caller: %v", err)
	}
	if _, out, _ := policyCommand(t, cfg, "", "access", "clock"); !strings.Contains(out, "refused") ||
		!strings.Contains(out, "executed") {
		t.Errorf("access after both:\n%s", out)
	}
}
