//go:build unix

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestPolicyOfProcessesThatAreGone: a process that was killed and is still listed is named as such, and makes no change
// fail; one that is alive and does not answer does, when the text has limits.
func TestPolicyOfProcessesThatAreGone(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	c := newCrew(t, server.URL(server.CreateDB(t)))
	one, two := c.serve("auth", "v1"), c.serve("auth", "v1")
	eventually(t, "both are listed", func() bool {
		_, out, _ := cli(t, "", "ls", "auth", "-c", c.config, "--json")
		return strings.Count(out, `"owner"`) == 2
	})
	text := "policy: 1\nservices:\n  auth:\n    limits: [{pending: %d, per: instance}]\n"
	apply := func(limit, want int) string {
		t.Helper()
		code, out, errs := policyCommand(t, c.config, fmt.Sprintf(text, limit), "apply", "-", "--yes")
		if code != want {
			t.Fatalf("exit code %d, want %d\n%s%s", code, want, out, errs)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	if out := apply(50, exitOK); !strings.Contains(out, "obeyed by 2 of 2 processes") {
		t.Errorf("with both:\n%s", out)
	}
	if err := two.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = two.Wait()
	out := apply(51, exitOK)
	if !strings.Contains(out, "obeyed by 1 of 2 processes") && !strings.Contains(out, "obeyed by 1 of 1 process") ||
		strings.Contains(out, "of 2") && !strings.Contains(out, "it has ended, and is still listed") &&
			!strings.Contains(out, "it is gone or cut off") {
		t.Errorf("after one was killed:\n%s", out)
	}
	three := c.serve("auth", "v1")
	eventually(t, "the third one is listed", func() bool {
		_, out, _ := cli(t, "", "members", "-c", c.config, "--json")
		return strings.Contains(out, fmt.Sprintf("/%d/", three.Process.Pid))
	})
	if err := three.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if out := apply(52, exitProblem); !strings.Contains(out, fmt.Sprintf("/%d/", three.Process.Pid)) {
		t.Errorf("with one that is stopped:\n%s", out)
	}
	if err := one.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}
