//go:build !windows

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// TestDeregister: a frozen process is not taken off the lists, as it would come back. A killed one is,
// at once, and a living one leaves when it is told to.
func TestDeregister(t *testing.T) {
	t.Parallel()
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Shared(t)
		deregisters(t, newCrew(t, server.URL(server.CreateDB(t))))
	})
	t.Run("broadcast", func(t *testing.T) {
		t.Parallel()
		text := fmt.Sprintf("cluster: crew\nmode: broadcast\nlan: {interfaces: [lo], port: %d, key: %s}\n"+
			"log: {level: error}\n", lab.Port(t), lab.SiteKey)
		deregisters(t, &crew{t: t, config: writeConfig(t, text), text: text})
	})
}

func deregisters(t *testing.T, c *crew) {
	one, two := c.serve("auth", "v1"), c.serve("auth", "v1")
	listed := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprint(want, " are listed"), func() bool {
			_, out, _ := cli(t, "", "ls", "auth", "-c", c.config, "--json")
			return strings.Count(out, `"owner"`)-strings.Count(out, `"state": "gone"`) == want
		})
	}
	name := func(p *exec.Cmd) string {
		_, out, _ := cli(t, "", "ls", "-w", "-c", c.config)
		for _, word := range strings.Fields(out) {
			if strings.Contains(word, fmt.Sprintf("/%d/", p.Process.Pid)) {
				return word[:strings.LastIndexByte(word, '/')]
			}
		}
		t.Fatalf("process %d is not listed:\n%s", p.Process.Pid, out)
		return ""
	}
	listed(2)
	first, second := name(one), name(two)
	run := func(want int, says string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, "", append(args, "-c", c.config)...)
		if text := strings.Join(strings.Fields(out+errs), " "); code != want || !strings.Contains(text, says) {
			t.Fatalf("%v: exit code %d, want %d and %q\n%s%s", args, code, want, says, out, errs)
		}
	}
	signal := func(p *exec.Cmd, s syscall.Signal) {
		t.Helper()
		if err := p.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(one, syscall.SIGSTOP)
	run(exitProblem, `"state": "failed"`, "deregister", first, "--json")
	run(exitProblem, "it is alive, as a process of its host sees", "deregister", first, "--dead", "--json")
	signal(one, syscall.SIGCONT)
	listed(2)
	signal(one, syscall.SIGKILL)
	_ = one.Wait()
	run(exitOK, "removed", "deregister", first)
	listed(1)
	run(exitProblem, "no other well instance of auth/v1", "deregister", second)
	run(exitOK, "left", "deregister", second, "--last")
	if err := two.Wait(); err != nil { // its Serve has returned
		t.Error(err)
	}
	listed(0)
}

// TestDeregisterAHostThatIsGone: no process can say that it is dead, so the operator must; a lease that
// was renewed lately says the contrary.
func TestDeregisterAHostThatIsGone(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	c := newCrew(t, server.URL(db))
	c.serve("auth", "v1")
	eventually(t, "auth is listed", func() bool {
		code, _, _ := cli(t, "", "ls", "auth", "-c", c.config)
		return code == exitOK
	})
	for n, age := range []int{70, 10} {
		owner := fmt.Sprintf("burnt-%d/1/abc", n)
		server.Exec(t, db, fmt.Sprintf(`
			INSERT INTO skerry_lease VALUES ('crew', '%s', now() - interval '%d seconds', interval '90 seconds');
			UPDATE skerry_revision SET rev = rev + 1;
			INSERT INTO skerry_instance
				SELECT 'crew', 'auth', 'v1', '192.0.2.1', %d, '%[1]s', 'skerry', '', 0, false, '{}',
					now() - interval '2 hours', rev, 0, now() FROM skerry_revision`, owner, age, 7001+n))
	}
	run := func(want int, says string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, "", append(args, "-c", c.config, "--json")...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", args, code, want, says, out, errs)
		}
	}
	run(exitProblem, "no process of its host can say whether it is dead", "deregister", "burnt-0/1")
	run(exitProblem, "its lease in the database was renewed ", "deregister", "burnt-1/1", "--dead")
	run(exitOK, `"state": "removed"`, "deregister", "burnt-0", "--dead")
	_, out, _ := cli(t, "", "ls", "-w", "-c", c.config)
	if strings.Contains(out, "burnt-0") || !strings.Contains(out, "burnt-1") {
		t.Errorf("ls says\n%s", out)
	}
}
