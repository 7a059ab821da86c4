package policytext

import (
	"reflect"
	"strings"
	"testing"

	"github.com/skerry/skerry/policy/form"
)

// TestRemove: the item goes, with its list and its service when they have nothing else, in texts of all styles.
func TestRemove(t *testing.T) {
	at := Place{Service: "auth", List: "limits", Index: 1}
	first := Place{Service: "auth", List: "limits"}
	for _, c := range []struct {
		name          string
		at            Place
		before, after string
	}{
		{"a list", at, "policy: 1\nservices:\n  auth:\n    limits: # few\n      # first\n      - {rate: 9, " +
			"per: site}\n" +
			"      # second\n      - {rate: 8, per: site} # eight\n\n      # third\n      - {rate: 7, per: site}\n",
			"policy: 1\nservices:\n  auth:\n    limits: # few\n      # first\n      - {rate: 9, per: site}\n" +
				"      # second\n\n      # third\n      - {rate: 7, per: site}\n"},
		{"items on lines", at, "policy: 1\nservices:\n  auth:\n    limits:\n    - rate: 9\n      per: site\n   " +
			" - rate: 8\n" +
			"      # why\n      per: site\n      why: |\n        a\n\n        b\n    timeout: 1s\n",
			"policy: 1\nservices:\n  auth:\n    limits:\n    - rate: 9\n      per: site\n    timeout: 1s\n"},
		{"the last one", first, "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 9, per: site}\n  proc:\n" +
			"    timeout: 1s\n", "policy: 1\nservices:\n  proc:\n    timeout: 1s\n"},
		{"the last one of a service with more", first, "policy: 1\nservices:\n  auth:\n    limits:\n" +
			"      - {rate: 9, per: site}\n    timeout: 1s\n", "policy: 1\nservices:\n  auth:\n    timeout: 1s\n"},
		{"the last one below a comment", first, "policy: 1\nservices:\n  auth:\n    limits: # of old\n" +
			"      - {rate: 9, per: site}\n", "policy: 1\nservices:\n  auth:\n    limits: # of old\n"},
		{"the last one of all", first, "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 9, per: site}\n",
			"policy: 1\nservices:\n"},
		{"braces", at, "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}, {rate: 8, per: site}]}}\n",
			"policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}]}}\n"},
		{"the first in braces", first, "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site, why: 'a ] b'}, " +
			"{rate: 8, per: site}]}}\n", "policy: 1\nservices: {auth: {limits: [{rate: 8, per: site}]}}\n"},
		{"the only one in braces", first, "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}], " +
			"timeout: 1s}}\n",
			"policy: 1\nservices: {auth: {limits: [], timeout: 1s}}\n"},
		{"braces over lines", first, "policy: 1\nservices:\n  auth:\n    limits: [\n      {rate: 9, # nine, of\n" +
			"       per: site}, # first\n      {rate: 8, per: site},\n    ]\n",
			"policy: 1\nservices:\n  auth:\n    limits: [\n      # first\n      {rate: 8, per: site},\n    ]\n"},
		{"of a plan", Place{Plan: "storm", Service: "auth", List: "limits"}, "policy: 1\nplans:\n  storm:\n" +
			"    why: a big day\n    services:\n      auth:\n        limits:\n          - {rate: 9, per: site}\n" +
			"      proc: {retries: 0}\n", "policy: 1\nplans:\n  storm:\n    why: a big day\n    services:\n" +
			"      proc: {retries: 0}\n"},
		{"of access", Place{Service: "auth", List: "allow"}, "policy: 1\nservices:\n  auth:\n    access:\n" +
			"      mode: audit\n      default: deny\n      allow:\n        - {caller: web}\n",
			"policy: 1\nservices:\n  auth:\n    access:\n      mode: audit\n      default: deny\n"},
		{"a lane", Place{List: "lanes", Index: 1}, "policy: 1\nlanes:\n  - {name: a, match: {ip: [10.0.0.1]}}\n" +
			"  - {name: b, match: {ip: [10.0.0.2]}}\n", "policy: 1\nlanes:\n  - {name: a, match: {ip: [10.0.0.1]}}\n"},
	} {
		got, err := Remove(c.before, c.at)
		if err != nil || got != c.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.after)
		}
	}
}

// TestReplace: the new item stands in the place of the old one, and what the form does not know of that stays.
func TestReplace(t *testing.T) {
	for _, c := range []struct {
		name          string
		index         int
		before, after string
	}{
		{"a line", 1, "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 9, per: site}\n" +
			"      - {match: {caller: web, zone: [a, b]}, rate: 8, burst: 3, per: site} # eight\n    timeout: 1s\n",
			"policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 9, per: site}\n" +
				"      - {match: {caller: report, zone: [\"a\",\"b\"]}, rate: 50, per: site, burst: 3} # eight\n" +
				"    timeout: 1s\n"},
		{"more lines", 0, "policy: 1\nservices:\n  auth:\n    limits:\n    - match:\n        caller: web\n     " +
			" rate: 9\n" +
			"      per: site\n      name: 'x: y'\n\n    timeout: 1s\n",
			"policy: 1\nservices:\n  auth:\n    limits:\n    - {match: {caller: report}, rate: 50, per: site, " +
				"name: \"x: y\"}\n\n    timeout: 1s\n"},
		{"braces", 1, "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}, {rate: 8, per: site}, " +
			"{rate: 7, per: " +
			"site}]}}\n", "policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}, {match: {caller: " +
			"report}, rate: 50, " +
			"per: site}, {rate: 7, per: site}]}}\n"},
	} {
		at, item := Place{Service: "auth", List: "limits", Index: c.index}, limit("auth")
		others, err := Others(c.before, at, item.Fields)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		item.Fields = append(item.Fields, others...)
		got, err := Replace(c.before, at, item)
		if err != nil || got != c.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.after)
		}
		if p, problems := form.Read([]byte(got)); p == nil {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
}

// TestChangeRefuses: what the form does not follow stays, and the error has the line.
func TestChangeRefuses(t *testing.T) {
	at := Place{Service: "auth", List: "limits"}
	for text, want := range map[string]string{
		"policy: 1\nservices:\n  a: &x {limits: [{rate: 9, per: site}]}\n  auth: *x\n": "line 4 is not written out",
		"policy: 1\nservices:\n  auth: {retries: 1}\n":                                 "no such item any more",
		"policy: 1\nservices:\n  auth: {limit: 1}\n": "the text has " +
			"mistakes, which come",
		"policy: 1\nservices:\n  auth:\n    limits:\n      - rate: 9\n        # nine\n        per: site\n" +
			"": "there are " +
			"comments within the item; change line 5 by hand",
		"policy: 1\nservices:\n  auth:\n    limits: [&x {rate: 9, per: site}]\n  b:\n    limits: [*x]\n": "does not " +
			"understand the text there; change line 4 by hand",
	} {
		if got, err := Replace(text, at, limit("auth")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\n%s", text, err, got)
		}
	}
	shared := "policy: 1\nservices:\n  auth:\n    limits: [&x {rate: 9, per: site}]\n  b:\n    limits: [*x]\n"
	if got, err := Remove(shared, at); err == nil {
		t.Errorf("what another item needs was removed:\n%s", got)
	}
}

// FuzzChange: each item of any policy can be removed, and replaced by itself, so that nothing else changes, or the
// error says why not.
func FuzzChange(f *testing.F) {
	for _, text := range []string{"policy: 1\nservices: {auth: {limits: [{rate: 9, per: site}, {rate: 8, per: " +
		"site}]}}\n",
		"policy: 1\nservices:\n  auth:\n    limits:\n    - rate: 9\n      per: site # x\n    timeout: 1s\n",
		"policy: 1\nservices:\n  a: &x {weights: [{host: h, weight: 0}]}\n  auth: *x\n",
		"policy: 1\nplans: {p: {services: {\"a.b\": {access: {mode: audit, default: deny, allow: [{caller: x}]}}}}}\n",
		"policy: 1\nlanes:\n- match: {ip: 10.0.0.1}\n  name: a\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		before, _ := form.Read([]byte(text))
		if before == nil {
			return
		}
		for _, i := range Items(before) {
			if got, err := Remove(text, i.Place); err == nil {
				after, _ := form.Read([]byte(got))
				if after == nil || after.Items() != before.Items()-1 {
					t.Fatalf("without %+v:\n%s", i.Place, got)
				}
			}
			fields, err := Others(text, i.Place, nil)
			if err != nil {
				continue
			}
			got, err := Replace(text, i.Place, Item{Fields: fields})
			if err != nil {
				continue
			}
			after, problems := form.Read([]byte(got))
			if after == nil || !reflect.DeepEqual(besides(before, nil), besides(after, nil)) {
				t.Fatalf("%+v replaced by itself: %v\n%s", i.Place, problems, got)
			}
		}
	})
}
