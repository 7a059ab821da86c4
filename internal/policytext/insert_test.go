package policytext

import (
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/policy/form"
)

func limit(service string) Item {
	return Item{Service: service, List: "limits", Fields: []Field{{Key: "match.caller", Value: "report"},
		{Key: "rate", Value: "50", Raw: true}, {Key: "per", Value: "site"}, {Key: "why", Value: ""}}}
}

func allow(service string) Item {
	return Item{Service: service, List: "allow", Mode: "audit", Default: "deny",
		Fields: []Field{{Key: "caller", Value: "portal, web", Values: true}}}
}

// TestInsert: the item stands first in its list, in texts of all styles, and nothing else changes.
func TestInsert(t *testing.T) {
	const item = "{match: {caller: report}, rate: 50, per: site}"
	planned := limit("auth")
	planned.Plan, planned.PlanWhy = "storm", "a big day"
	for _, c := range []struct {
		name   string
		item   Item
		before string
		after  string
	}{
		{"nothing", limit("auth"), "policy: 1", "policy: 1\nservices:\n  auth:\n    limits:\n      - " + item + "\n"},
		{"another service", limit("auth"), "policy: 1\nservices:\n    # of proc\n    proc:\n      " +
			"timeout: 1s # short\n",
			"policy: 1\nservices:\n    auth:\n      limits:\n        - " + item +
				"\n    # of proc\n    proc:\n      timeout: 1s # short\n"},
		{"a list", limit("auth"), "policy: 1\nservices:\n  auth: # who\n    limits: # few\n\n      # first\n      " +
			"- {rate: 9, per: site}\n    timeout: 1s\nlanes: []\n",
			"policy: 1\nservices:\n  auth: # who\n    limits: # few\n      - " + item +
				"\n\n      # first\n      - {rate: 9, per: site}\n    timeout: 1s\nlanes: []\n"},
		{"a list at the left", limit("auth"), "policy: 1\nservices:\n  auth:\n    limits:\n    - rate: " +
			"9\n      per: site\n" +
			"    timeout: 1s\n", "policy: 1\nservices:\n  auth:\n    limits:\n    - " + item +
			"\n    - rate: 9\n      per: site\n    timeout: 1s\n"},
		{"an empty key", limit("auth"), "policy: 1\nservices:\n  auth:\n", "policy: 1\nservices:\n  " +
			"auth:\n    limits:\n" +
			"      - " + item + "\n"},
		{"braces", limit("auth"), "policy: 1\nservices:\n  auth: {timeout: 1s}\n",
			"policy: 1\nservices:\n  auth: {limits: [" + item + "], timeout: 1s}\n"},
		{"braces with the list", limit("auth"), "policy: 1\nservices: {'auth': {timeout: 1s, limits: " +
			"[{rate: 9, per: site, " +
			"why: 'a, {limits: [x'}]}}\n", "policy: 1\nservices: {'auth': {timeout: 1s, limits: [" + item +
			", {rate: 9, per: site, why: 'a, {limits: [x'}]}}\n"},
		{"braces over lines", limit("auth"), "policy: 1\nservices: {\n  auth: { # limits: no\n    " +
			"timeout: 1s,\n  }\n}\n",
			"policy: 1\nservices: {\n  auth: {limits: [" + item + "], # limits: no\n    timeout: 1s,\n  }\n}\n"},
		{"empty braces", limit("auth"), "policy: 1\nservices: {}\n", "policy: 1\nservices: {auth: {limits: [" + item +
			"]}}\n"},
		{"every service", limit("*"), "policy: 1\nservices:\n  \"*\":\n    retries: 1\n",
			"policy: 1\nservices:\n  \"*\":\n    limits:\n      - " + item + "\n    retries: 1\n"},
		{"a new plan", planned, "policy: 1\nservices:\n  auth: {retries: 1}\n",
			"policy: 1\nservices:\n  auth: {retries: 1}\nplans:\n  storm:\n    why: \"a big day\"\n    services:\n" +
				"      auth:\n        limits:\n          - " + item + "\n"},
		{"a plan", planned, "policy: 1\nplans:\n  storm:\n    services:\n      auth:\n        retries: 1\n",
			"policy: 1\nplans:\n  storm:\n    services:\n      auth:\n        limits:\n          - " + item +
				"\n        retries: 1\n"},
		{"a new access", allow("auth"), "policy: 1\n", "policy: 1\nservices:\n  auth:\n    access:\n      " +
			"mode: audit\n" +
			"      default: deny\n      allow:\n        - {caller: [portal, web]}\n"},
		{"an access in braces", allow("auth"), "policy: 1\nservices:\n  auth:\n    access: {mode: " +
			"enforce, default: deny, " +
			"allow: [{caller: x}]}\n", "policy: 1\nservices:\n  auth:\n    access: {mode: enforce, default: deny, " +
			"allow: [{caller: [portal, web]}, {caller: x}]}\n"},
		{"a text with lines", limit("auth"), "policy: 1\nservices:\n  proc:\n    limits:\n      - rate: " +
			"9\n        per: site\n" +
			"        why: >-\n          auth:\n            limits:\n  auth:\n    retries: 1\n",
			"policy: 1\nservices:\n  proc:\n    limits:\n      - rate: 9\n        per: site\n" +
				"        why: >-\n          auth:\n            limits:\n  auth:\n    limits:\n      - " + item +
				"\n    retries: 1\n"},
	} {
		got, err := Insert(c.before, c.item)
		if err != nil || got != c.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.after)
		}
		if p, problems := form.Read([]byte(got)); p == nil {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
}

// TestInsertRefuses: what is written in a way that the form does not follow stays, and the error has the item.
func TestInsertRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"policy: 1\nservices:\n  a: &x {retries: 1}\n  auth: *x\n": "line 4 is not written out; write it into " +
			"services.auth.limits by hand: - {match: {caller: report}",
		"policy: 1\nservices: {a: &x {retries: 1}, auth: *x}\n": "the value of auth is not written out",
		"policy: 1\nservices:\n  auth: {limit: 1}\n":            "the text has mistakes, which come first: 3:10",
		"x": "the text has mistakes, which come first",
	} {
		if got, err := Insert(text, limit("auth")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\n%s", text, err, got)
		}
	}
}

// TestHostileFields: no value of a field becomes a key or another item.
func TestHostileFields(t *testing.T) {
	for _, evil := range []string{"x}, {caller: y", "a\n- {rate: " +
		"1}", "\"", "'", "#", "on", "*", "&a", "\u202e", "中文", "a: b",
		"\x00", "[", "!x"} {
		item := limit("auth")
		item.Fields[3].Value = evil
		item.Service = "s" + evil
		text, err := Insert("policy: 1\n", item)
		if err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		p, problems := form.Read([]byte(text))
		if p == nil {
			if !strings.Contains(problems[0].Key, "services.") { // no name of a service
				t.Errorf("%q: %v\n%s", evil, problems, text)
			}
			continue
		}
		if s := p.Services["s"+evil]; s == nil || len(s.Items) != 1 || s.Items[0].Why != evil {
			t.Errorf("%q became\n%s", evil, text)
		}
	}
}

// FuzzInsert: into any policy an item is inserted, so that there is one more, or the error says why not.
func FuzzInsert(f *testing.F) {
	for _, text := range []string{"policy: 1\n", "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}]}}\n",
		"policy: 1\nservices:\n  auth:\n    limits:\n    - rate: 9\n      per: site\n    timeout: 1s\n",
		"policy: 1\nservices:\n  a: &x {retries: 1}\n  auth: *x\n", "policy: 1\nservices:\n  ? auth\n  : " +
			"{retries: 1}\n",
		"---\npolicy: 1\nplans: {p: {services: {\"auth\": {retries: 1}}}}\n...\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		before, _ := form.Read([]byte(text))
		got, err := Insert(text, limit("auth"))
		if before == nil && err == nil {
			t.Fatal("a text with mistakes is changed")
		}
		if before == nil || err != nil {
			return
		}
		after, problems := form.Read([]byte(got))
		if after == nil {
			if slices.ContainsFunc(problems, func(p form.Problem) bool { return p.Line == 0 && !p.Note }) {
				t.Fatalf("the text can't be read any more: %v\n%s", problems, got)
			}
			return
		}
		if after.Items() != before.Items()+1 {
			t.Fatalf("%d items became %d\n%s", before.Items(), after.Items(), got)
		}
	})
}
