package policychange

import (
	"strings"
	"testing"

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

// switchedOn is the table of a text with all its plans on.
func switchedOn(t *testing.T, text string) *policy.Table {
	t.Helper()
	p, problems := form.Read([]byte(text))
	if p == nil {
		t.Fatalf("%s\n%v", text, problems)
	}
	for name := range p.Plans {
		p.On = append(p.On, policy.On{Name: name})
	}
	return policy.Compile(p, nil, 0)
}

// TestSuggestedAllow: the suggested items are a policy that allows exactly the calls that were counted and are neither
// allowed now nor denied; names that mean something else in a policy are left out.
func TestSuggestedAllow(t *testing.T) {
	now := compiled(t, `policy: 1
services:
  auth:
    access:
      mode: audit
      default: deny
      allow: [{caller: proc}]
      deny: [{caller: legacy}]
`)
	call := func(caller, method, proof string) rpc.DeniedCalls {
		return rpc.DeniedCalls{Service: "auth", Method: method, Caller: caller, Proof: proof, Calls: 1}
	}
	calls := []rpc.DeniedCalls{
		call("portal", "verify", "certificate"), call("portal", "getToken", "certificate"),
		call("report", "verify", "name"), call("ip:10.0.0.9", "getToken", "address"), call("on", "no", "name"),
		call("proc", "verify", "name"), call("legacy", "verify", "name"), call("many", "*", "name"),
		call("*", "verify", "certificate"), call("!portal", "verify", "certificate"),
		call("a\n    deny: [{caller: proc}]", "verify", "certificate"), call("x}, {caller: y", "a\", b: \"", "name"),
		call(strings.Repeat("x", 300), "verify", "certificate"), call("\xff", "verify", "certificate"),
	}
	text := AllowText(now, "18 of li\nservices: {}", calls)
	table := compiled(t, "policy: 1\n"+strings.Replace(text, "access:\n",
		"access:\n      mode: enforce\n      default: deny\n", 1))
	may := func(caller, method string) bool {
		ok, _, _ := table.Rules("auth", method).Access(&policy.Request{Caller: caller, Method: method})
		return ok
	}
	for i, c := range calls {
		suggested := i < 5 || strings.HasPrefix(c.Caller, "a\n") || strings.HasPrefix(c.Caller, "x}")
		if may(c.Caller, c.Method) != suggested {
			t.Errorf("%q may call %q: %v\n%s", c.Caller, c.Method, !suggested, text)
		}
	}
	if may("portal", "export") || may("report", "getToken") || may("any", "verify") || may("y", "verify") {
		t.Errorf("more is allowed than was counted\n%s", text)
	}
	for _, want := range []string{
		"        - {caller: portal, method: [getToken, verify]}\n",
		"        # all programs at this address\n        - {caller: \"ip:10.0.0.9\", method: getToken}\n",
		"        # a name without proof: any program that reaches the port can use it\n        - {caller: report",
		"        # \"legacy\" → \"verify\": services.auth.access.deny[0] denies it, and goes before allow\n",
		"        # \"many\" → \"*\": methods of many names are counted together; name them\n",
		"        - {caller: \"on\", method: \"no\"}\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the suggestion lacks %q\n%s", want, text)
		}
	}
	for _, c := range [][]rpc.DeniedCalls{nil, {call("proc", "verify", "name")}} {
		if text := AllowText(now, "18", c); !strings.HasPrefix(text, "# All calls that were counted are allowed") {
			t.Errorf("of %+v:\n%s", c, text)
		}
	}
	const left = "# Of auth nothing is suggested:\n# \"legacy\" → \"verify\": services.auth.access.deny[0]"
	if text := AllowText(now, "18", calls[6:7]); strings.Contains(text, "services:\n") ||
		!strings.Contains(text, left) {
		t.Errorf("of a call that is denied:\n%s", text)
	}
}
