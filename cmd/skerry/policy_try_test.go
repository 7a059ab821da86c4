package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/skerry/skerry"
)

// TestPolicyTry: a text is compared with the site and with the calls that were counted, and nothing changes.
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
	try := func(text string, want int) (tried policyTried) {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, text, "try", "-", "--json")
		if err := json.Unmarshal([]byte(out), &tried); err != nil || code != want {
			t.Fatalf("%v, exit code %d\n%s%s", err, code, out, errs)
		}
		return tried
	}
	tried := try("policy: 1\nservices: {clock: {timeout: 10m}}\n", exitOK)
	if len(tried.Timeouts) != 1 || tried.Timeouts[0].Calls < calls || tried.Timeouts[0].Slower != 0 ||
		tried.Timeouts[0].Timeout != 600_000 || tried.Answered != 2 || len(tried.Faults) != 0 {
		t.Errorf("%+v", tried)
	}
	tried = try("policy: 1\nservices: {clock: {route: [{to: {zone: moon}, else: none}]}, clok: {timeout: 1s}}\n",
		exitProblem)
	if len(tried.Faults) != 1 || len(tried.Notes) != 1 || len(tried.Lines) == 0 {
		t.Errorf("%+v", tried)
	}
	tried = try("# made on policy 9 (1)\npolicy: 1\n", exitProblem)
	if len(tried.Faults) != 1 {
		t.Errorf("%+v", tried)
	}
	if number, _ := policyOf(n); number != 0 {
		t.Errorf("policy %d is obeyed", number)
	}
	if code, out, errs := policyCommand(t, cfg, "policy: 1\n", "try", "-"); code != exitOK || out == "" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
