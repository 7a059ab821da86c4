package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// A frozen log names the next step, and no step that would be refused.
func TestWhatFollowsWhenFrozen(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(d *drill)
		line  string
		code  int
		next  string
	}{
		"the database is away": {func(d *drill) {
			d.Frozen = "the database can't be reached"
		}, "status", exitUnreachable, "Next: mend what is said above"},
		"the key of the last step was taken out": {func(d *drill) {
			d.Frozen = "its last 1 of 1 entries are not obeyed"
			d.Signers = []releases.Signer{{Err: errors.New("unknown key")}}
		}, "status", exitUnreachable, "Next: skerry release log --verify, then skerry release vouch"},
		"the database has lost steps": {func(d *drill) {
			d.Frozen, d.Err = "the rule log of the database has lost steps", operator.ErrRestored
		}, "status --json", exitUnreachable, `"frozen": "the rule log of the database has lost steps"`},
		"nothing is frozen": {func(*drill) {}, "status", exitOK, "Next: skerry release start"},
		"refresh of a log that has forked": {func(d *drill) {
			d.Frozen, d.Err, d.Branches = "the rule log has forked", operator.ErrForked,
				[]operator.Branch{{Tip: rollout.Position{Hash: "aaaa"}}, {Tip: rollout.Position{Hash: "bbbb"}}}
		}, "refresh", exitProblem, "Next: skerry release adopt --keep HASH"},
	} {
		d := newDrill()
		d.must(t, "start", "--by", "alice", "--reason", "x")
		d.must(t, "rollback")
		d.must(t, "clean")
		c.spoil(d)
		code, out := d.on(t, "", strings.Fields(c.line)...)
		begins := strings.Contains(out, "Next: skerry release start")
		if code != c.code || !strings.Contains(out, c.next) || begins != (c.code == exitOK) {
			t.Errorf("%s: exit code %d, want %q\n%s", name, code, c.next, out)
		}
	}
}

// A release without modules is given up without a mention of versions.
func TestReleaseWithoutModules(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	back, end := d.must(t, "rollback"), d.must(t, "clean")
	for _, want := range []string{"give the release up; it has no modules", "is given up. It had no modules"} {
		if !strings.Contains(back, want) {
			t.Errorf("rollback: want %q\n%s", want, back)
		}
	}
	if !strings.Contains(end, "no version goes") || !strings.Contains(end, "is over. It had no modules") ||
		strings.Contains(back+end, "no module ") {
		t.Errorf("clean:\n%s%s", back, end)
	}
}
