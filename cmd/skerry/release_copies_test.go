package main

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// TestReleaseShowsCopies: status, validate and commit say what copies of calls have shown of a new version, by what
// either side counted: failures, and those that break a bound of the module. What a copy may not do is no failure.
// After the commit there is nothing to warn of.
func TestReleaseShowsCopies(t *testing.T) { synctest.Test(t, copiesAreShown) }

func copiesAreShown(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "new token format")
	d.must(t, "ship", "auth", "--version", "v2")
	if _, out := d.on(t, "", "status"); strings.Contains(out, "COPIES") {
		t.Errorf("there are no copies:\n%s", out)
	}
	count := operator.Count{Calls: 120, Failures: 7, Slow: 3, Denied: 30,
		Kinds: map[string]int64{"internal": 5, "timeout": 2}}
	set := func(c operator.Count) {
		d.copies = []operator.Watched{{Service: "auth", Version: "v2", Callees: operator.Tally{Count: c},
			Callers: operator.Tally{Count: operator.Count{Calls: 120}}}}
	}
	says := func(code int, line string, texts ...string) {
		t.Helper()
		got, out := d.on(t, "", strings.Fields(line)...)
		if got != code {
			t.Errorf("%s: exit code %d, want %d\n%s", line, got, code, out)
		}
		flat := strings.Join(strings.Fields(out), " ")
		for _, text := range texts {
			if text, not := strings.CutPrefix(text, "!"); strings.Contains(flat, text) == not {
				t.Errorf("%s: %q is said: %v\n%s", line, text, !not, out)
			}
		}
	}
	set(count)
	says(exitOK, "status", "COPIES TO COUNTED BY CALLS FAILED SLOW NOT OK", "auth/v2 callers 120 0 - -",
		"auth/v2 callees 120 7 - internal 5, timeout 2, shadow 30")
	says(exitProblem, "validate", "of 120 copies of calls to auth/v2 that its callees counted, 7 failed (5.833 %: "+
		"internal 5, timeout 2, shadow 30)", "no guard counts them")
	if _, out := d.on(t, "n\n", "commit"); !strings.Contains(out, "note: of 120 copies of calls to auth/v2") {
		t.Errorf("commit says nothing of the copies:\n%s", out)
	}
	d.must(t, "config", "put", "auth", "max_failures=10%", "max_p99=200ms")
	says(exitOK, "status", "callees 120 7 3 > 200ms")
	says(exitProblem, "validate",
		"copies of calls say: auth/v2 is slow: of 120 calls the processes that serve it counted, 3")
	d.must(t, "config", "put", "auth", "max_failures=1%", "max_p99=")
	says(exitProblem, "validate", "copies of calls say: auth/v2 fails", "the bound is 1 %")
	set(operator.Count{Calls: 120, Denied: 120})
	says(exitProblem, "validate", "!copies") // of proc runs what no release speaks of
	set(count)
	code, out := d.on(t, "", "status", "--json")
	var st struct{ Copies []releases.Copies }
	if err := json.Unmarshal([]byte(out), &st); code != exitOK || err != nil || len(st.Copies) != 2 ||
		st.Copies[1].Made || st.Copies[1].Denied != 30 || st.Copies[1].Kinds["internal"] != 5 {
		t.Errorf("%v, exit code %d: %s", err, code, out)
	}
	d.must(t, "commit")
	says(exitProblem, "validate", "!copies") // of proc runs what no release speaks of
}
