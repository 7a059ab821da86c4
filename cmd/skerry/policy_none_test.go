package main

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
)

// TestPolicyIsSeen: ls shows what a policy does to the listed instances, and names a process that is told to obey none;
// apply says that it does not obey, with exit code 1 for a policy that protects, as do show and doctor.
func TestPolicyIsSeen(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	one := offerClock(t, cfg)
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "clock", Version: "v3", Listen: "127.0.0.1:0", Zone: "hall-2"}
	c.Policy.Obey, c.Log.Level = config.ObeyNone, "error"
	none, err := skerry.Open(t.Context(), c, skerry.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { none.Close() })
	if err := none.Handle(t.Context(), "clock", newClock()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	settings := "policy: 1\nservices:\n  clock:\n    weights: [{zone: hall-2, weight: 0}]\n"
	code, out, errs := policyCommand(t, cfg, settings, "apply", "-", "--yes", "--by", "li")
	told := none.Membership().Owner().String() + ": it is told to obey no policy"
	if code != exitOK || !strings.Contains(out, "Policy 1 is obeyed by 1 of 2 processes") ||
		!strings.Contains(out, told) {
		t.Errorf("a policy that protects nothing: exit code %d\n%s%s", code, out, errs)
	}
	limits := settings + "    limits: [{pending: 50, per: instance}]\n"
	code, out, errs = policyCommand(t, cfg, limits, "apply", "-", "--yes")
	if code != exitProblem || !strings.Contains(out, told) {
		t.Errorf("a policy with limits: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := policyCommand(t, cfg, "", "show", "--processes"); code != exitProblem ||
		!strings.Contains(out, "it is told to obey no policy") {
		t.Errorf("show --processes: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "ls", "clock", "-c", cfg)
	for _, want := range []string{"excluded", "the site's policy gives it the weight 0; " + obeyNoneText,
		"By policy 2 of ", "clock: limit 50 calls at a time per instance; 1 weight\n"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("ls: exit code %d, want %q\n%s%s", code, want, out, errs)
		}
	}
	code, out, errs = cli(t, "", "ls", "clock", "-c", cfg, "--json")
	var doc listing
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Policy == nil || doc.Policy.Number != 2 ||
		!slices.Equal(doc.Policy.ObeyNone, []string{none.Membership().Owner().String()}) {
		t.Errorf("ls --json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if code, out, errs := cli(t, "", "doctor", "-c", cfg); code != exitProblem ||
		!strings.Contains(out, "obeys no policy of the site") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
}
