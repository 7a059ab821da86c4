package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
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
