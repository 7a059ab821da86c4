package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRampUnderLoad ramps three new versions of auth up, one after the other, each
// together with a new proc. It runs commands on a LAN of real processes under load. One
// version fails, one is slow, and one is well. The guard turns the first two back and
// gives the reason. No trace meets the new auth and the old proc.
func TestRampUnderLoad(t *testing.T) {
	t.Parallel()
	config := site(t, slowly)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{t: t, config: config, text: string(text), forgetful: true}
	c.serve("auth", "v1")
	c.serve("proc", "v1")
	l := c.load()
	old := "v1"
	for _, trial := range []struct {
		version string
		bounds  []string
		says    string // text of the guard; "": the version stays
	}{
		{"v2-bad", []string{"--max-failures", "5%"}, "auth/v2-bad fails: "},
		{"v3-slow", []string{"--max-p99", "50ms"}, "auth/v3-slow is slow: "},
		{"v4", []string{"--max-failures", "20%", "--max-p99", "20s", "--min-calls", "20"}, ""},
	} {
		c.step("start", "--by", "alice", "--reason", trial.version)
		c.serve("auth", trial.version)
		c.serve("proc", trial.version)
		c.step("ship", "auth", "--version", trial.version, "--old", old)
		c.step("ship", "proc", "--version", trial.version, "--old", old)
		code, out := c.try(append([]string{"commit", "--ramp", "20,100", "--every", "2s"}, trial.bounds...)...)
		if trial.says == "" {
			if code != exitOK || !strings.Contains(out, "20% for ") || !strings.Contains(out, "auth/v4 is well") {
				t.Errorf("%s: exit code %d\n%s", trial.version, code, out)
			}
			l.more(t, trial.version+trial.version)
			continue
		}
		for _, want := range []string{
			trial.says, "most at ", "the release is rolled back", "New requests meet auth/v1, proc/v1 again.",
		} {
			if code != exitProblem || !strings.Contains(out, want) {
				t.Errorf("%s: exit code %d, want %q in\n%s", trial.version, code, want, out)
			}
		}
		if log := c.step("log"); !strings.Contains(log, "roll back by the guard: "+trial.says) {
			t.Errorf("the log does not say why:\n%s", log)
		}
		c.step("clean")
		l.more(t, "v1v1")
	}
	l.stop()
	l.met.Range(func(met, n any) bool {
		text, pure := fmt.Sprint(met), false
		for _, v := range []string{"v1", "v2-bad", "v3-slow", "v4"} {
			pure = pure || text == v+v
		}
		if failed := strings.Contains(text, "a bad version"); !pure && !failed {
			t.Errorf("%d traces met %s", n.(*atomic.Int64).Load(), text)
		}
		return true
	})
}
