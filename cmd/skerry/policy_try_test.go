package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/policychange"
)

// TestPolicyTry: a text is compared with the site and with the calls of the last minutes, and nothing changes. What is
// predicted of limits and access happens when the text is applied.
func TestPolicyTry(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	c := caller(t, cfg, func(c *skerry.Config) { c.Stats.Interval = time.Second })
	const calls = 20
	clock := c.Client("clock")
	eventually(t, "the clock answers", func() bool { return reset(t.Context(), clock) == nil })
	for range calls - 1 {
		if err := reset(t.Context(), clock); err != nil {
			t.Fatal(err)
		}
	}
	try := func(text string, want int) (tried policychange.Trial) {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, text, "try", "-", "--json")
		if err := json.Unmarshal([]byte(out), &tried); err != nil || code != want {
			t.Fatalf("%v, exit code %d\n%s%s", err, code, out, errs)
		}
		return tried
	}
	effect := func(tried policychange.Trial, kind string) policychange.Effect {
		t.Helper()
		for _, e := range tried.Impact.Effects {
			if e.Kind == kind && e.Service == "clock" {
				return e
			}
		}
		t.Fatalf("no effect %s: %+v", kind, tried.Impact)
		return policychange.Effect{}
	}
	const strict = "policy: 1\nservices: {clock: {timeout: 10m, access: {mode: enforce, default: deny, " +
		"allow: [{caller: [elsewhere, skerry-cli]}]}, limits: [{rate: 100000, per: instance}]}}\n"
	tried := try(strict, exitOK)
	slow, refused, limit := effect(tried, "timeout"), effect(tried, "access"), effect(tried, "limit")
	if slow.Calls < calls || slow.Hit != 0 || slow.Estimate != "" || tried.Impact.Processes != 2 ||
		tried.Impact.Younger != 2 || len(tried.Faults) != 0 {
		t.Errorf("%+v", tried)
	}
	if refused.Calls < calls || refused.Hit != refused.Calls || refused.Estimate != "" || len(refused.Examples) == 0 {
		t.Errorf("%+v", refused)
	}
	if limit.Hit != 0 || limit.Estimate != "" {
		t.Errorf("%+v", limit)
	}
	tried = try("policy: 1\nservices: {clock: {route: [{to: {zone: moon}, else: none}]}, clok: {timeout: 1s}}\n",
		exitProblem)
	if len(tried.Faults) != 1 || len(tried.Notes) != 1 || len(tried.Lines) == 0 || effect(tried, "route").Hit < calls {
		t.Errorf("%+v", tried)
	}
	tried = try("# made on policy 9 (1)\npolicy: 1\n", exitProblem)
	if len(tried.Faults) != 1 || len(tried.Impact.Effects) != 0 {
		t.Errorf("%+v", tried)
	}
	if number, _ := policyOf(n); number != 0 {
		t.Errorf("policy %d is obeyed", number)
	}
	if err := reset(t.Context(), clock); err != nil {
		t.Errorf("after the trials: %v", err)
	}
	long := "policy: 1\n#" + strings.Repeat("\"", 500<<10) + "\nservices: {clock: {limits: [{rate: 1, per: site}]}}\n"
	if tried = try(long, exitOK); effect(tried, "limit").Hit == 0 || len(tried.Impact.Silent) != 0 {
		t.Errorf("of a text of 500 KiB: %+v", tried.Impact)
	}
	code, out, errs := policyCommand(t, cfg, strict, "apply", "-", "--by", "test") // it asks, and nothing answers
	if code != exitProblem || !strings.Contains(out, "Had it held for the last ") ||
		!strings.Contains(out, "refuses ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, strict, "apply", "-", "--yes"); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for range 3 {
		if err := reset(t.Context(), clock); err == nil || !strings.Contains(err.Error(), "access_denied") {
			t.Errorf("what would have been refused is not: %v", err)
		}
	}
	tried = try("policy: 1\nservices: {clock: {timeout: 10m}}\n", exitOK)
	if e := effect(tried, "allow"); e.Hit != 3 {
		t.Errorf("of the refused calls: %+v", e)
	}
}
