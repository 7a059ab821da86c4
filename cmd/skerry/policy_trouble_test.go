package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry/postgres"
)

// TestPolicyGoesBack: what is not confirmed goes back by itself; the log and the commands say so.
func TestPolicyGoesBack(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	for _, args := range [][]string{{"1s"}, {"2s", "--confirm", "10s"}} {
		code, out, errs := policyCommand(t, cfg, policyText(args[0]),
			append([]string{"apply", "-", "--yes"}, args[1:]...)...)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s%s", code, out, errs)
		}
	}
	eventually(t, "it goes back", func() bool { number, ms := policyOf(n); return number == 1 && ms == 1000 })
	if code, out, errs := policyCommand(t, cfg, "", "show"); code != exitOK || !strings.Contains(out, "timeout: 1s") {
		t.Errorf("show: exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := policyCommand(t, cfg, "", "confirm", "--yes"); code != exitProblem ||
		!strings.Contains(errs, "policy 2 was not confirmed in time, and the site went back to 1") {
		t.Errorf("confirm: exit code %d, %s", code, errs)
	}
	if code, _, errs := policyCommand(t, cfg, "", "undo", "--yes"); code != exitProblem ||
		!strings.Contains(errs, "went back to 1 by itself") {
		t.Errorf("undo of what went back: exit code %d, %s", code, errs)
	}
	if code, out, _ := policyCommand(t, cfg, "", "history"); code != exitOK || !strings.Contains(out, "*1") ||
		strings.Contains(out, "*2") {
		t.Errorf("history says\n%s", out)
	}
	if code, out, errs := policyCommand(t, cfg, policyText("3s"), "apply", "-", "--yes"); code != exitOK {
		t.Errorf("the next one: exit code %d\n%s%s", code, out, errs)
	}
	if number, ms := policyOf(n); number != 3 || ms != 3000 {
		t.Errorf("policy %d with %d ms is obeyed", number, ms)
	}
	if code, out, errs := policyCommand(t, cfg, "", "undo", "--yes"); code != exitOK {
		t.Errorf("undo of the next one: exit code %d\n%s%s", code, out, errs)
	}
	if number, ms := policyOf(n); number != 4 || ms != 1000 {
		t.Errorf("policy %d with %d ms is obeyed after the undo, want what was in force before", number, ms)
	}
}

// TestPolicyWaitsForAnswers: a command looks again while no process answers, within --timeout. Other trouble ends it
// at once.
func TestPolicyWaitsForAnswers(t *testing.T) {
	late, refused := unreachablef("no process of the site answers"), problemf("its release knows no policies")
	for _, c := range []struct {
		name    string
		answers []error // of one look after the other; the last one repeats
		limit   time.Duration
		want    error
		looks   int
	}{
		{"the second look", []error{late, nil}, time.Second, nil, 2},
		{"never", []error{late}, 4 * lookPeriod, late, 5},
		{"an old process", []error{refused}, time.Second, refused, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looks := 0
				err := untilReached(t.Context(), c.limit, func() error {
					looks++
					return c.answers[min(looks, len(c.answers))-1]
				})
				if err != c.want || looks != c.looks {
					t.Errorf("%v after %d looks, want %v after %d", err, looks, c.want, c.looks)
				}
			})
		})
	}
}

// slowReader answers when it is asked to.
type slowReader struct {
	asked chan<- struct{}
	text  <-chan string
}

func (r slowReader) Read(b []byte) (int, error) {
	r.asked <- struct{}{}
	return copy(b, <-r.text), nil
}

// TestTwoOperatorsAtOnce: one changes the policy while the other one is asked. The answer comes too late, in both
// modes.
func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for mode, cfg := range map[string]string{
		"lan": site(t, "state_dir: none\n"),
		"database": writeConfig(t, "cluster: crew\nmode: database\ndatabase: {url: \""+
			server.URL(server.CreateDB(t))+"\"}\nstate_dir: none\n"),
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			n := offerClock(t, cfg)
			if code, out, errs := policyCommand(t, cfg, policyText("1s"), "apply", "-", "--yes"); code != exitOK {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			asked, text := make(chan struct{}), make(chan string)
			type result struct {
				code      int
				out, errs string
			}
			done := make(chan result, 1)
			go func() {
				var out, errs strings.Builder
				code := execute(t.Context(), []string{"policy", "undo", "-c", cfg, "--by", "li"},
					slowReader{asked, text}, &out, &errs)
				done <- result{code, out.String(), errs.String()}
			}()
			select {
			case <-asked:
			case r := <-done:
				t.Fatalf("undo did not ask: %+v", r)
			case <-time.After(limit):
				t.Fatal("undo did not ask")
			}
			code, out, errs := policyCommand(t, cfg, policyText("2s"), "apply", "-", "--yes", "--by", "wang")
			if code != exitOK {
				t.Errorf("exit code %d\n%s%s", code, out, errs)
			}
			text <- "y\n"
			if r := <-done; r.code != exitProblem || !strings.Contains(r.errs, "the newest is 2 of wang") {
				t.Errorf("%+v", r)
			}
			if number, ms := policyOf(n); number != 2 || ms != 2000 {
				t.Errorf("policy %d with %d ms is obeyed", number, ms)
			}
		})
	}
}

// autoSite is the beginning of a configuration with the LAN, for one with a database too.
func autoSite(t *testing.T) string {
	return fmt.Sprintf("cluster: test-site\nmode: auto\nlan: {interfaces: [lo], port: %d, key: %s}\n", lab.Port(t),
		lab.SiteKey)
}

// TestPolicyWithoutItsDatabase: while the database is away the processes are changed, and the next change brings what
// it lacks.
func TestPolicyWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	cfg := writeConfig(t, autoSite(t)+"state_dir: none\ndatabase: {url: \""+server.URL(server.CreateDB(t))+"\"}\n")
	n := offerClock(t, cfg)
	if code, out, errs := policyCommand(t, cfg, policyText("1s"), "apply", "-", "--yes"); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := policyCommand(t, cfg, policyText("2s"), "apply", "-", "--yes")
	if code != exitOK || !strings.Contains(out, "The database does not have it yet") {
		t.Errorf("without the database: exit code %d\n%s%s", code, out, errs)
	}
	if number, ms := policyOf(n); number != 2 || ms != 2000 {
		t.Errorf("policy %d with %d ms is obeyed", number, ms)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := policyCommand(t, cfg, policyText("3s"), "apply", "-", "--yes"); code != exitOK ||
		strings.Contains(out, "The database does not have it yet") {
		t.Errorf("with the database: exit code %d\n%s%s", code, out, errs)
	}
	eventually(t, "the node's own session stands again, and the database has 3 entries", func() bool {
		entries, err := n.Membership().Database().Policies().Entries(t.Context())
		return err == nil && len(entries) == 3
	})
}

// TestPolicyOfARestoredDatabase: a copy of the database comes back that lacks the policy, and no process may write it.
// The text that is in force, applied again, brings it there and changes nothing else.
func TestPolicyOfARestoredDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	user := server.CreateUser(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %s",
		"REVOKE INSERT ON skerry_policy FROM %s")
	file := func(url string) string {
		return writeConfig(t, "cluster: crew\nmode: database\ndatabase: {url: \""+url+
			"\"}\nlog: {level: error}\nstate_dir: none\n")
	}
	n, cfg := offerClock(t, file(server.UserURL(db, user))), file(server.URL(db))
	apply := func(says string) {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, policyText("1s"), "apply", "-", "--yes")
		if code != exitOK || !strings.Contains(errs, says) || !strings.Contains(out, "Policy 1 is obeyed by 1 of 1") {
			t.Fatalf("exit code %d, want %q\n%s%s", code, says, out, errs)
		}
	}
	apply("")
	server.Exec(t, db, "DELETE FROM skerry_policy")
	apply("the database has lost it, and is given it again")
	apply("nothing is to be done")
	if number, _ := policyOf(n); number != 1 {
		t.Errorf("policy %d is obeyed", number)
	}
}

// TestPlansAndUndosBesideOthers: a plan or a text that leaves a service without calls together with what is on already
// is refused, a plan does not keep for good what waits for its confirmation, and an undo says what does not fit.
func TestPlansAndUndosBesideOthers(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, other := offerClock(t, cfg), offerClock(t, writeConfig(t, string(text)+"zone: hall-2\n"))
	eventually(t, "both are listed", func() bool { return len(n.Explain("clock")) == 2 })
	off := func(timeout string) string {
		return "policy: 1\nplans:\n  storm: {services: {clock: {weights: [{zone: \"!hall-2\", weight: 0}]}}}\n" +
			"  calm: {services: {clock: {timeout: 9s}}}\n" +
			"services: {clock: {timeout: " + timeout + ", weights: [{zone: hall-2, weight: 0}]}}\n"
	}
	run := func(stdin string, args ...string) (int, string) {
		t.Helper()
		code, out, errs := policyCommand(t, cfg, stdin, args...)
		return code, out + errs
	}
	wants := func(want int, says string, stdin string, args ...string) {
		t.Helper()
		if code, out := run(stdin, args...); code != want || !strings.Contains(out, says) {
			t.Fatalf("%v: exit code %d, want %d and %q\n%s", args, code, want, says, out)
		}
	}
	wants(exitProblem, "there is no plan storm", "", "plan", "on", "storm", "--yes")
	wants(exitProblem, "nothing to confirm", "", "confirm", "--yes")
	wants(exitOK, "Policy 1 is obeyed by 2", off("5s"), "apply", "-", "--yes")
	wants(exitProblem, "plans.storm.services.clock.weights: every living instance", "", "plan", "on", "storm", "--yes")
	wants(exitOK, "Policy 2 is obeyed", "", "plan", "on", "storm", "--yes", "--although",
		"plans.storm.services.clock.weights")
	// What does not fit without the plan is no reason to leave it off, but a further text is judged with all plans.
	wants(exitOK, "Policy 3 is obeyed", "", "plan", "on", "calm", "--yes")
	wants(exitProblem, "plans.storm.services.clock.weights: every living instance", off("7s"), "apply",
		"-", "--yes")
	wants(exitOK, "Policy 4 is obeyed", "", "plan", "off", "storm", "--yes")
	wants(exitOK, "note: plans.storm.services.clock.weights: every living instance", "", "undo", "3", "--yes")
	wants(exitOK, "Policy 6 is obeyed", "", "undo", "4", "--yes")

	// A text that was saved with a byte order mark is as old as its first line says.
	wants(exitProblem, "the text was made on policy 1", "\ufeff# made on policy 1 (1a2b3c4d) of li\n"+
		off("6s"), "apply", "-", "--yes")

	wants(exitOK, "Policy 7 is obeyed", off("4s"), "apply", "-", "--yes", "--confirm", "10m")
	wants(exitProblem, "policy 7 of ", "", "plan", "on", "calm", "--yes")
	wants(exitProblem, "waits for its confirmation", "", "plan", "off", "calm", "--yes")
	wants(exitOK, "waits for its confirmation; this takes its place", off("3s"), "apply", "-", "--yes")
	const reply = "policy: 1\nservices: {clock: {fallback: [{on: %s, reply: {}, expires: 1h}]}}\n"
	wants(exitOK, "note: services.clock.fallback[0]: calls are sent all the same where the reply does not fit",
		fmt.Sprintf(reply, "[timeout, always]"), "apply", "-", "--yes")
	if code, out := run(fmt.Sprintf(reply, "timeout"), "apply", "-", "--yes"); code != exitOK ||
		strings.Contains(out, "note:") {
		t.Errorf("a reply after a failure: exit code %d\n%s", code, out)
	}
	if number, _ := policyOf(other); number != 10 {
		t.Errorf("policy %d is obeyed", number)
	}
}
