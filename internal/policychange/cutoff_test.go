package policychange

import (
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/registry"
)

// TestCutOff: an access list that begins to refuse a gateway, a program behind a proxy or the operator's own tools is
// a fault of its item; of other callers it is a note; callers that do not call, or are refused already, do not matter.
func TestCutOff(t *testing.T) {
	const allowed = "services: {auth: {access: {mode: enforce, default: deny, " +
		"allow: [{caller: [portal, skerry-cli]}]}}}"
	const onlyX = "services: {auth: {access: {mode: enforce, default: deny, allow: [{caller: x}]}}}"
	const all = "it would refuse all calls of "
	listed := []discovery.Entry{
		{Service: "auth", Owner: "h1/1/a", State: discovery.OK},
		{Service: "bill", Owner: "h2/2/b", State: discovery.OK,
			Tags: map[string]string{registry.TagProgram: "billing"}},
	}
	known := []control.Caller{
		{Process: "h1/1/a", Name: "auth", Calls: map[string]int64{}},
		{Process: "h2/2/b", Name: "billing", Calls: map[string]int64{"auth": 7}},
		{Process: "h3/3/c", Name: "ip:10.0.0.3", Gateway: true, Calls: map[string]int64{"auth": 9}},
		{Process: "h4/4/d", Name: "report", Calls: map[string]int64{"auth": 1}},
	}
	for _, c := range []struct {
		name, now, then string
		accepted        []string
		faults, notes   []string // beginnings
	}{
		{"nothing enforced", "", "services: {auth: {access: {mode: audit, default: deny, allow: [{caller: x}]}}}", nil,
			nil, nil},
		{"a default", "", onlyX, nil, []string{
			"services.auth.access: " + all + "auth by billing (the program billing behind the proxy h2/2/b), " +
				"which has made 7; add {caller: billing} to allow, or apply it with --confirm 10m",
			"services.auth.access: it would refuse all calls of auth by ip:10.0.0.3 (the gateway h3/3/c), which has " +
				"made 9; add {caller: \"ip:10.0.0.3\"} to allow",
			"services.auth.access: " + all + "auth by skerry-cli (skerry call); add {caller: skerry-cli} to allow",
		}, []string{"note: services.auth.access: " + all + "auth by report, which has made 1"}},
		{"accepted", "", onlyX,
			[]string{"services.auth.access"}, nil, []string{"note: services.auth.access: " + all + "auth by billing",
				"note: services", "note: services", "note: services"}},
		{"the default of all services", "", "services: {\"*\": {access: {mode: enforce, default: deny, " +
			"allow: [{caller: [billing, \"ip:*\", report]}]}}}", nil, []string{
			"services.*.access: it would refuse all calls of auth by skerry-cli",
			"services.*.access: it would refuse all calls of bill by skerry-cli"}, nil},
		{"an item of deny", "",
			"services: {auth: {access: {mode: enforce, default: allow, deny: [{caller: billing}]}}}", nil,
			[]string{"services.auth.access.deny[0]: " + all + "auth by billing (the program " +
				"billing behind the proxy h2/2/b), which has made 7; narrow the item, or"}, nil},
		{"a method only", "", "services: {auth: {access: {mode: enforce, default: allow, deny: [{caller: billing," +
			" method: \"admin*\"}]}}}", nil, nil, nil},
		{"one method is left", "", "services: {auth: {access: {mode: enforce, default: deny, allow: [{caller: " +
			"[billing, \"ip:10.0.0.3\", skerry-cli, report], method: verify}]}}}", nil, nil, nil},
		{"a plan", "", "plans: {storm: {services: {auth: {access: {mode: enforce, default: deny, allow: [{caller: " +
			"[billing, \"ip:*\", report]}]}}}}}", nil,
			[]string{"plans.storm.services.auth.access: it would refuse all calls of auth by skerry-cli"}, nil},
		{"refused already", allowed, allowed + " # another edit", nil, nil, nil},
		{"one more than now", allowed, strings.Replace(allowed, ", skerry-cli", "", 1), nil,
			[]string{"services.auth.access: it would refuse all calls of auth by skerry-cli"}, nil},
	} {
		now, then := compiled(t, "policy: 1\n"+c.now), switchedOn(t, "policy: 1\n"+c.then)
		accepted := func(key string) bool { return slices.Contains(c.accepted, key) }
		faults, notes := judgeCallers(now, then, enforced(then, listed), callersOf(known, listed), accepted)
		begins := func(s, prefix string) bool { return strings.HasPrefix(s, prefix) }
		if !slices.EqualFunc(faults, c.faults, begins) || !slices.EqualFunc(notes, c.notes, begins) {
			t.Errorf("%s: faults\n%s\nnotes\n%s", c.name, strings.Join(faults, "\n"), strings.Join(notes, "\n"))
		}
	}
}
