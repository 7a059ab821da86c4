package main

import (
	"strings"
	"testing"
)

// TestPolicyAsleep: try, apply and plan on name the lanes and mirrors that do nothing as no release is open.
func TestPolicyAsleep(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	const text = `policy: 1
lanes:
  - {name: pilots, match: {tenant: t7}, gets: preview}
  - {name: drill, match: {tenant: t8}}
services:
  clock:
    idempotent: [reset]
    mirror:
      - {match: {method: reset, tenant: t8}, to: {mark: drill}, expires: 1h}
      - {match: {method: reset}, to: {mark: preview}, expires: 1h}
plans:
  shadow:
    services:
      clock:
        mirror:
          - {match: {method: reset}, to: {mark: preview}, expires: 1h}
`
	const idle = ": it does nothing until a release is open, and none is"
	notes := func(want []string, args ...string) {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, text, args...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
		for _, key := range want {
			if !strings.Contains(out, "note: "+key+idle) {
				t.Errorf("%v does not say that %s does nothing:\n%s", args, key, out)
			}
		}
		if n := strings.Count(out, idle); n != len(want) {
			t.Errorf("%v names %d items, want %d:\n%s", args, n, len(want), out)
		}
	}
	asleep := []string{"lanes[0]", "services.clock.mirror[1]"}
	notes(asleep, "try", "-")
	notes(asleep, "apply", "-", "--yes")
	notes(append(asleep, "plans.shadow.services.clock.mirror[0]"), "plan", "on", "shadow", "--yes")
	code, out, errs := cli(t, "", "release", "-c", cfg, "--timeout", patient, "start", "--by", "ann", "--reason", "v4",
		"--yes")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	notes(nil, "try", "-")
	notes(nil, "apply", "-", "--yes", "--why", "again")
}
