package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/policychange"
)

// policyOf returns the number that a node obeys, and its timeout for clock in ms, -1 without one.
func policyOf(n *skerry.Node) (number uint64, timeout int64) {
	h := n.Membership().Policy()
	timeout = -1
	if r := h.Table().Rules("clock", "now"); r != nil && r.Timeout != nil {
		timeout = r.Timeout.Milliseconds()
	}
	return h.Status().Number, timeout
}

// policyText is a policy in which clock has a timeout.
func policyText(timeout string) string {
	return "policy: 1\nservices:\n  clock:\n    timeout: " + timeout + "   # for the hall\n" +
		"plans:\n  storm: {services: {clock: {timeout: 9s}}}\n"
}

// policyCommand runs a command of skerry policy on a site.
func policyCommand(t *testing.T, cfg, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	return cli(t, stdin, append([]string{"policy", "-c", cfg, "--timeout", patient}, args...)...)
}

// changePolicyOf applies, undoes, confirms and switches, and looks at what the processes obey.
func changePolicyOf(t *testing.T, cfg string, nodes ...*skerry.Node) {
	t.Helper()
	must := func(stdin string, args ...string) string {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, stdin, args...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
		return out
	}
	obey := func(number uint64, timeout int64) {
		t.Helper()
		for i, n := range nodes {
			if has, ms := policyOf(n); has != number || ms != timeout {
				t.Errorf("process %d obeys policy %d with %d ms, want %d with %d", i, has, ms, number, timeout)
			}
		}
	}
	if code, out, errs := policyCommand(t, cfg, "", "show"); code != exitProblem ||
		!strings.Contains(errs, "the site has no policy; skerry policy apply") {
		t.Errorf("show without a policy: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, policyText("1s"), "apply", "-"); code != exitProblem ||
		!strings.Contains(out, "+    timeout: 1s   # for the hall\n") || !strings.Contains(out, "Go on? [y/N]") {
		t.Errorf("no answer: exit code %d\n%s%s", code, out, errs)
	}
	obey(0, -1)
	out := must(policyText("1s"), "apply", "-", "--yes", "--by", "li", "--why", "slow disk")
	if !strings.Contains(out, "Policy 1 is obeyed by 2 of 2 processes after ") {
		t.Errorf("apply says\n%s", out)
	}
	obey(1, 1000)
	shown := must("", "show")
	if !strings.HasPrefix(shown, "# made on policy 1 (") || !strings.HasSuffix(shown, policyText("1s")) {
		t.Errorf("show says\n%s", shown)
	}
	must(strings.Replace(shown, "1s", "2s", 1), "apply", "-", "--yes", "--by", "wang")
	obey(2, 2000)

	// A text that was made on the first one.
	stale := strings.Replace(shown, "for the hall", "for all", 1)
	code, out, errs := policyCommand(t, cfg, stale, "apply", "-", "--yes")
	if code != exitProblem || !strings.Contains(errs, "made on policy 1, and the newest is 2 of wang") ||
		!strings.Contains(out, "+    timeout: 2s") || !strings.Contains(out, "+    timeout: 1s   # for all") {
		t.Errorf("a stale text: exit code %d\n%s%s", code, out, errs)
	}
	must(stale, "apply", "-", "--yes", "--on", "2")
	obey(3, 1000)
	if out := must("", "diff", "2", "3"); !strings.Contains(out, "-    timeout: 2s   # for the hall\n") ||
		!strings.Contains(out, "+    timeout: 1s   # for all\n") {
		t.Errorf("diff says\n%s", out)
	}
	must("", "undo", "--yes", "--why", "it was too short")
	obey(4, 2000)
	out = must("", "plan", "on", "storm", "--for", "1h", "--yes")
	obey(5, 9000)
	if !strings.Contains(out, "switch plan storm on") {
		t.Errorf("plan on says\n%s", out)
	}
	must("", "plan", "off", "storm", "--yes")
	obey(6, 2000)
	must(policyText("4s"), "apply", "-", "--yes", "--confirm", "10m")
	obey(7, 4000)
	must("", "confirm", "--yes")
	obey(8, 4000)
	if code, _, errs := policyCommand(t, cfg, "", "confirm", "--yes"); code != exitProblem ||
		!strings.Contains(errs, "waits for no confirmation") {
		t.Errorf("confirm once more: exit code %d, %s", code, errs)
	}

	var doc struct{ Policies []policychange.Change }
	if err := json.Unmarshal([]byte(must("", "history", "--json")), &doc); err != nil || len(doc.Policies) != 8 {
		t.Fatalf("%v, %+v", err, doc)
	}
	for i, want := range []string{"confirm", "cli", "plan", "plan", "undo", "cli", "cli", "cli"} {
		if c := doc.Policies[i]; c.Origin != want || c.Unsigned != "" || c.Lost || c.InForce != (i == 0) {
			t.Errorf("history has %+v, want origin %s", c, want)
		}
	}
	if confirmed, off := doc.Policies[0], doc.Policies[2]; confirmed.Keeps != 7 ||
		!slices.Equal(off.Ended, []string{"storm"}) || len(doc.Policies[1].Ended) > 0 {
		t.Errorf("the confirmation is %+v, the end of a plan %+v", confirmed, off)
	}
	if c := doc.Policies[4]; c.Undoes != 2 || c.Why != "it was too short" {
		t.Errorf("the undo is %+v", c)
	}
	for _, line := range strings.Split(must("", "history"), "\n") {
		if len([]rune(line)) > 200 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	if out := must("", "show", "--processes"); strings.Count(out, " ok") != 2 {
		t.Errorf("show --processes says\n%s", out)
	}

	// The confirmation has the text of what it confirms: before both was 6.
	if out := must("", "diff"); !strings.Contains(out, "-    timeout: 2s") ||
		!strings.Contains(out, "+    timeout: 4s") {
		t.Errorf("diff of a confirmed policy says\n%s", out)
	}
	must("", "undo", "--yes")
	obey(9, 2000)
}

func TestPolicyOnTheLAN(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	one, two := offerClock(t, cfg), offerClock(t, cfg)
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	changePolicyOf(t, cfg, one, two)
}

func TestPolicyInTheDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	cfg := writeConfig(t, "cluster: crew\nmode: database\ndatabase: {url: \""+server.URL(server.CreateDB(t))+
		"\"}\nlog: {level: error}\nstate_dir: none\n")
	one, two := offerClock(t, cfg), offerClock(t, cfg)
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	changePolicyOf(t, cfg, one, two)
}

// TestPolicyRefuses: what can't be applied changes nothing, and says why.
func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		says        string
	}{
		{"nothing", "", []string{"apply", "-"}, exitProblem, "mistakes"},
		{"binary", "\x00\xff\x80", []string{"apply", "-"}, exitProblem, "mistakes"},
		{"10 MB", strings.Repeat("#", 10<<20), []string{"apply", "-"}, exitUsage, "524288 bytes"},
		{"an unknown key", "policy: 1\nservices:\n  clock:\n    timout: 1s\n", []string{"apply", "-"}, exitProblem,
			"-:4:5: services.clock.timout: no such key; did you mean timeout?"},
		{"the same as JSON", "policy: 1\nservices:\n  clock:\n    timout: 1s\n", []string{"apply", "-", "--json"},
			exitProblem, `services.clock.timout`},
		{"no file", "", []string{"apply", "no-such-file"}, exitUsage, "no-such-file"},
		{"a line without its number", "# made on policy x\npolicy: 1\n", []string{"apply", "-"}, exitUsage,
			"has no number"},
		{"a number of the future", "policy: 1\n", []string{"apply", "-", "--on", "7"}, exitProblem,
			"the site has no policy yet"},
		{"a route to nothing", "policy: 1\nservices: {clock: {route: [{to: {zone: moon}, else: none}]}}\n",
			[]string{"apply", "-", "--yes"}, exitProblem, "services.clock.route[0]: no instance is at to now"},
		{"no instance is left", "policy: 1\nservices: {clock: {weights: [{weight: 0, tag: {}}]}}\n",
			[]string{"apply", "-", "--yes"}, exitProblem, "services.clock.weights"},
		{"a short confirmation", "policy: 1\n", []string{"apply", "-", "--confirm", "1s"}, exitUsage, "from 10s to"},
		{"JSON without an answer", "policy: 1\n", []string{"apply", "-", "--json"}, exitUsage, "say --yes"},
		{"a key where the site's key signs", "policy: 1\n", []string{"apply", "-", "--key", "k"}, exitUsage,
			"the site's key signs"},
		{"undo of nothing", "", []string{"undo"}, exitProblem, "nothing to undo"},
		{"confirm of nothing", "", []string{"confirm"}, exitProblem, "nothing to confirm"},
		{"an unknown plan", "", []string{"plan", "on", "storm"}, exitProblem, "there is no plan storm"},
		{"a plan that is off", "", []string{"plan", "off", "storm"}, exitProblem, "there is no plan storm"},
		{"a plan for no time", "", []string{"plan", "on", "storm", "--for", "0s"}, exitUsage, "from 1s"},
		{"no number", "", []string{"show", "x"}, exitUsage, "is no number"},
		{"an unknown number", "", []string{"diff", "1", "2"}, exitProblem, "no policy yet"},
	} {
		code, out, errs := policyCommand(t, cfg, c.stdin, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: exit code %d\n%.2000s%.2000s", c.name, code, out, errs)
		}
	}
	if number, _ := policyOf(n); number != 0 {
		t.Errorf("policy %d is obeyed", number)
	}
	text := "policy: 1\nservices: {clock: {route: [{to: {zone: moon}, else: none}]}}\n"
	if code, out, errs := policyCommand(t, cfg, text, "apply", "-", "--yes", "--although",
		"services.clock.route[0]"); code != exitOK {
		t.Errorf("--although: exit code %d\n%s%s", code, out, errs)
	}
	if _, out, _ := policyCommand(t, cfg, "", "history"); !strings.Contains(out, "although services.clock.route[0]") {
		t.Errorf("history says\n%s", out)
	}
}

// TestPolicyWithoutASite: without a process and a database there is nothing to read or change.
func TestPolicyWithoutASite(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	for _, args := range [][]string{{"show"}, {"history"}, {"apply", "-", "--yes"}, {"undo"}, {"diff"}} {
		code, out, errs := cli(t, "policy: 1\n",
			append([]string{"policy", "-c", cfg, "--timeout", "100ms"}, args...)...)
		if code != exitUnreachable || !strings.Contains(errs, "no process of the site answers") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}

// TestPolicyByOperators: where the site names operators, one of them must sign, with a key for policies.
func TestPolicyByOperators(t *testing.T) {
	t.Parallel()
	key, line := newOperatorKey(t, "li")
	stranger, _ := newOperatorKey(t, "mo")
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := site(t, "state_dir: none\nsite: {operators: "+file+"}\n")
	n := offerClock(t, cfg)
	for _, c := range []struct {
		key  string
		code int
	}{{"", exitProblem}, {stranger, exitProblem}, {key, exitOK}} {
		code, out, errs := policyCommand(t, cfg, policyText("1s"), "apply", "-", "--yes", "--key", c.key)
		if code != c.code {
			t.Errorf("with the key %q: exit code %d\n%s%s", c.key, code, out, errs)
		}
	}
	if number, ms := policyOf(n); number != 1 || ms != 1000 {
		t.Errorf("policy %d with %d ms is obeyed", number, ms)
	}
	if _, out, _ := policyCommand(t, cfg, "", "history"); !strings.Contains(out, "li") {
		t.Errorf("history says\n%s", out)
	}
}
