package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/releases"
)

// TestReleaseBesideThePolicy: validate names the routes and weights that leave the new version without an instance, and
// the policy's number; a rollback says that the policy stays.
func TestReleaseBesideThePolicy(t *testing.T) {
	policyOf := func(rules string) releases.Policy {
		return releases.Policy{Number: 18, Title: "18 of li", Table: compiled(t, "policy: 1\nservices: {"+rules+"}\n")}
	}
	d := newDrill()
	for i := range d.Instances {
		e := &d.Instances[i]
		e.Owner, e.Own, e.Zone = "h1/1/a", 100, "hall-1"
		if e.Version == "v2" {
			e.Zone = "hall-2"
		}
	}
	d.Instances[3].Zone = "hall-3" // the other one of auth/v2
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "ship", "auth", "--version", "v2")
	for _, c := range []struct {
		name, rules string
		says        []string
	}{
		{"settings", "auth: {timeout: 1s}", nil},
		{"a weight of some", "auth: {weights: [{zone: hall-1, weight: 0}]}", nil},
		{"less weight of the new ones", "auth: {weights: [{zone: hall-2, weight: 20}]}", nil},
		{"a weight of one of the new ones", "auth: {weights: [{zone: hall-2, weight: 0}]}", nil},
		{"a weight of the new ones", "auth: {weights: [{zone: [hall-2, hall-3], weight: 0}]}",
			[]string{"auth/v2 is new, and policy 18 leaves it no instance of a weight above 0"}},
		{"a route", "auth: {route: [{match: {caller: x}, to: {zone: hall-1}, else: none}]}",
			[]string{"has services.auth.route[0], which leads to no instance of it: such calls would fail"}},
		{"a route of all services", "\"*\": {route: [{to: {zone: hall-1}, else: none}]}",
			[]string{"auth/v2 is new, and policy 18 has services.*.route[0]"}},
		{"a route with another way", "auth: {route: [{to: {zone: hall-1}, else: all}]}", nil},
		{"a route to the new ones", "auth: {route: [{to: {zone: hall-2}, else: none}]}", nil},
	} {
		d.policy = policyOf(c.rules)
		code, out := d.on(t, "", "validate")
		if !strings.Contains(out, "The site's policy is 18 of li.") ||
			len(c.says) == 0 && strings.Contains(out, "policy 18 ") {
			t.Errorf("%s: exit code %d\n%s", c.name, code, out)
		}
		for _, want := range c.says {
			if code != exitProblem || !strings.Contains(out, want) {
				t.Errorf("%s: exit code %d, want %q\n%s", c.name, code, want, out)
			}
		}
	}
	var doc struct{ Policy uint64 }
	if _, out := d.on(t, "", "validate", "--json"); json.Unmarshal([]byte(out), &doc) != nil || doc.Policy != 18 {
		t.Errorf("validate --json says\n%s", out)
	}
	d.must(t, "commit")
	if out := d.must(t, "rollback"); !strings.Contains(out, "The site's policy stays as it is: 18 of li.\n") {
		t.Errorf("rollback says\n%s", out)
	}
	d.policy = releases.Policy{}
	if _, out := d.on(t, "", "validate"); strings.Contains(out, "policy") {
		t.Errorf("validate without a policy says\n%s", out)
	}
}
