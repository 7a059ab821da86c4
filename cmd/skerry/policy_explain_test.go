package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPolicyExplain: each setting has its source, and each item its reason.
func TestPolicyExplain(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\nconsumers: {clock: {retries: 3}, \"*\": {max_rate: 70}}\n")
	offerClock(t, cfg)
	text := `policy: 1
services:
  "*": {timeout: 2s}
  clock:
    methods: {now: {timeout: 300ms}}
    limits:
      - {match: {caller: report, tenant: t7}, rate: 5, per: site}
      - {match: {caller: portal}, rate: 9, per: site}
    access:
      mode: enforce
      default: deny
      allow:
        - {caller: [report, skerry-cli]}
    faults:
      - {name: drill, percent: 50, delay: 1ms, expires: 1h}
plans:
  storm: {services: {clock: {max_pending: 4}}}
`
	const warns = "services.clock.access begins to refuse calls"
	code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--although", "services.clock.access")
	if code != exitOK || !strings.Contains(strings.Join(strings.Fields(out), " "), warns) {
		t.Fatalf("apply: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, text+"# more\n", "apply", "-", "--yes"); code != exitOK ||
		strings.Contains(out, warns) {
		t.Fatalf("apply once more: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, "", "plan", "on", "storm", "--for", "1h", "--yes"); code != exitOK {
		t.Fatalf("plan on: exit code %d\n%s%s", code, out, errs)
	}
	args := []string{"explain", "clock", "now", "--from", "report", "--tenant", "t7"}
	code, out, errs = policyCommand(t, cfg, "", append(args, "--json")...)
	var x policyExplained
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != exitOK {
		t.Fatalf("%v, exit code %d\n%s%s", err, code, out, errs)
	}
	from := map[string]string{}
	for _, s := range x.Settings {
		from[s.Key] = s.Value + " of " + s.From + atLine(s.Line)
	}
	for key, want := range map[string]string{
		"timeout":       "300ms of services.clock.methods.now.timeout:5",
		"max_pending":   "4 of plans.storm.services.clock.max_pending:17",
		"retries":       "3 of file",
		"max_rate":      "70 of file",
		"breaker.calls": "20 of default",
	} {
		if from[key] != want {
			t.Errorf("%s is %s, want %s", key, from[key], want)
		}
	}
	verdicts := map[string]string{}
	for _, v := range x.Items {
		verdicts[v.Key] = map[bool]string{true: "yes: ", false: "no: "}[v.Applies] + v.Because
	}
	for key, want := range map[string]string{
		"services.clock.limits[0]":       "yes: all its conditions hold",
		"services.clock.limits[1]":       "no: caller is report, the item wants portal",
		"services.clock.access.allow[0]": "yes: ",
		"services.clock.faults[0]":       "no: the call has no trace",
	} {
		if !strings.HasPrefix(verdicts[key], want) {
			t.Errorf("%s: %q, want %q", key, verdicts[key], want)
		}
	}
	if want := (policyAccess{true, true, "services.clock.access.allow[0]"}); x.Access != want || x.Policy != 3 {
		t.Errorf("%+v", x)
	}
	code, out, errs = policyCommand(t, cfg, "", args...)
	if code != exitOK || !strings.Contains(errs, "by policy 3 of ") ||
		!strings.Contains(out, "services.clock.methods.now.timeout:5") ||
		!strings.Contains(out, "clock.now may be called, by services.clock.access.allow[0].") {
		t.Errorf("explain: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = policyCommand(t, cfg, "", "explain", "clock", "now", "--from", "legacy", "--trace", "1f")
	if code != exitOK || !strings.Contains(out, "clock.now is refused, by the default.") ||
		strings.Contains(out, "the call has no trace") {
		t.Errorf("explain a refusal: exit code %d\n%s%s", code, out, errs)
	}
}

// TestPolicyExplainLanes: of a user's request the lanes are listed; of a call with a mark they are not. A fallback for
// all calls goes before those for failures.
func TestPolicyExplainLanes(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	text := `policy: 1
lanes:
  - {name: drill, match: {header: {X-Drill: "1"}, path: "/api*", ip: "10.*"}}
  - {name: pilots, match: {tenant: t7, cookie: {beta: "1"}}, gets: preview}
services:
  clock:
    fallback:
      - {on: [timeout], reply: 1}
      - {on: [always], reply: 2, expires: 1h}
`
	if code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes"); code != exitOK {
		t.Fatalf("apply: exit code %d\n%s%s", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		want map[string]string // by key: beginning of the verdict; "" for none
	}{
		{[]string{"--header", "x-drill=1", "--path", "/api/x", "--ip", "10.0.0.9"}, map[string]string{
			"lanes[0]": "yes: all its conditions hold; a user's request that begins with this call gets the mark drill",
			"lanes[1]": "no: cookie.beta is nothing, the item wants 1"}},
		{[]string{"--cookie", "beta=1", "--tenant", "t7"}, map[string]string{
			"lanes[0]": "no: ",
			"lanes[1]": "yes: all its conditions hold; a user's request that begins with this call gets the mark of " +
				"the open release"}},
		{[]string{"--mark", "drill", "--code", "timeout"}, map[string]string{"lanes[0]": "", "lanes[1]": "",
			"services.clock.fallback[0]": "no: services.clock.fallback[1] answers the call before it is sent",
			"services.clock.fallback[1]": "yes: all its conditions hold; it answers the call before it is sent"}},
	} {
		args := append([]string{"explain", "clock", "now", "--json"}, c.args...)
		code, out, errs := policyCommand(t, cfg, "", args...)
		var x policyExplained
		if err := json.Unmarshal([]byte(out), &x); err != nil || code != exitOK {
			t.Fatalf("%v, exit code %d\n%s%s", err, code, out, errs)
		}
		got := map[string]string{}
		for _, v := range x.Items {
			got[v.Key] = map[bool]string{true: "yes: ", false: "no: "}[v.Applies] + v.Because
		}
		for key, want := range c.want {
			if !strings.HasPrefix(got[key], want) || want == "" && got[key] != "" {
				t.Errorf("%v: %s: %q, want %q", c.args, key, got[key], want)
			}
		}
	}
}

// TestPolicyExplainWithoutAPolicy: file and defaults alone.
func TestPolicyExplainWithoutAPolicy(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	code, out, errs := policyCommand(t, cfg, "", "explain", "clock", "now")
	if code != exitOK || !strings.Contains(errs, "the site has no policy") || !strings.Contains(out, "default") ||
		!strings.Contains(out, "clock.now may be called.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// TestPolicyExplainRouteToNoInstance: a call that a route with else: none sends to no instance is refused, or gets the
// reply of a fallback; one that may go to all instances, or has been answered before, may be called.
func TestPolicyExplainRouteToNoInstance(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	text := `policy: 1
services:
  clock:
    route:
      - {match: {method: now}, to: {zone: hall-9}, else: none}
      - {match: {method: later}, to: {zone: hall-9}, else: all}
      - {match: {method: [cached, off]}, to: {zone: hall-9}, else: none}
      - {match: {method: here}, to: {host: "*"}, else: none}
      - {match: {method: new}, to: {host: "*"}, else: none}
    fallback:
      - {match: {method: cached}, on: [no_instance], reply: 1}
      - {match: {method: off}, on: [always], reply: 1, expires: 1h}
`
	code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--although", "services.clock.route[0]",
		"--although", "services.clock.route[2]")
	if code != exitOK {
		t.Fatalf("apply: exit code %d\n%s%s", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		want string // end of the output
	}{
		{[]string{"now"}, "clock.now is refused with no_instance: services.clock.route[0] sends it to a place where " +
			"none of the 1 instances of clock gets calls, and says else: none."},
		{[]string{"later"}, "clock.later may be called."},
		{[]string{"cached"}, "clock.cached gets the reply of services.clock.fallback[0]: services.clock.route[2] " +
			"sends it to a place where none of the 1 instances of clock gets calls."},
		{[]string{"off"}, "clock.off may be called."},
		{[]string{"here"}, "clock.here may be called."},
		{[]string{"new", "--version", "v9"}, "clock.new is refused with no_instance"},
	} {
		code, out, errs := policyCommand(t, cfg, "", append([]string{"explain", "clock"}, c.args...)...)
		if said := strings.Join(strings.Fields(out), " "); code != exitOK || !strings.Contains(said, c.want) {
			t.Errorf("%v: exit code %d, want %q\n%s%s", c.args, code, c.want, out, errs)
		}
	}
}
