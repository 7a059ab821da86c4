package console

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/releases"
)

// lines are the records of a log as "action outcome".
func lines(l *auditLog) (list []string) {
	records, _ := l.state()
	for _, r := range records {
		list = append(list, r.Action+" "+r.Outcome)
	}
	return list
}

// TestKilledInTheMiddle: the audit log has a line before an action does anything. What a console leaves that is killed
// then is a whole chain, and the next console and the check say that the outcome is unknown.
func TestKilledInTheMiddle(t *testing.T) {
	var c *Console
	left := filepath.Join(t.TempDir(), "left")
	withAction(t, action{Name: "policy-undo", Path: "/test/{number}/undo", Role: roleOperator, Reason: true,
		Asks: "number", Do: func(*handler, context.Context, actor, url.Values) (outcome, error) {
			body := get(t, as(t, c, "wang", roleViewer), "/history", in(english)).Body.String()
			if !strings.Contains(body, "Under way: Return to an older policy (number=18)") ||
				strings.Contains(body, "Outcome unknown") {
				t.Error("the history does not say that the action is under way")
			}
			return outcome{}, os.CopyFS(left, os.DirFS(c.doors.files.dir)) // as a killed console leaves it
		}})
	c = keptConsole(t, still{night()}, Config{StateDir: filepath.Join(t.TempDir(), "a")})
	post(t, as(t, c, "li", roleOperator), "/test/18/undo", url.Values{"reason": {"too strict"}})
	want := []string{"in done", "policy-undo begun", "in done", "policy-undo done"}
	if got := lines(c.audit); !slices.Equal(got, want) {
		t.Errorf("the log has %q", got)
	}
	if body := get(t, as(t, c, "wang", roleViewer), "/history").Body.String(); strings.Count(body, "too strict") != 1 {
		t.Error("the history does not show an action that is done once")
	}
	if whole, err := VerifyAudit(c.doors.files.dir, ""); err != nil || whole.Broken != nil || len(whole.Open) != 0 {
		t.Errorf("the log of an action that was done: %+v, %v", whole, err)
	}
	os.Chmod(left, 0o700)
	entries, _ := os.ReadDir(left)
	for _, e := range entries {
		os.Chmod(filepath.Join(left, e.Name()), 0o600)
	}
	for range 2 { // a second start does not forget it
		next := keptConsole(t, still{night()}, Config{StateDir: left})
		wang := as(t, next, "wang", roleViewer)
		body := get(t, wang, "/history", in(english)).Body.String()
		if !strings.Contains(body, "Outcome unknown:") || !strings.Contains(body, "number=18") ||
			!strings.Contains(body, "too strict") {
			t.Error("the history does not show the action without an outcome")
		}
		if body := get(t, wang, "/history", in(chinese)).Body.String(); !strings.Contains(body, "结果未知") {
			t.Error("the history in Chinese does not say that an outcome is unknown")
		}
		if body := get(t, wang, "/history?format=json").Body.String(); !strings.Contains(body, `"unknown": true`) {
			t.Errorf("the history as JSON does not say that an outcome is unknown: %s", body)
		}
		next.Close()
		report, err := VerifyAudit(left, "")
		if err != nil || report.Broken != nil || len(report.Open) != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		if o := report.Open[0]; o.Action != "policy-undo" || o.Name != "li" || o.Asked != "number=18" || o.N == 0 {
			t.Errorf("the check tells %+v", o)
		}
	}
}

// TestOutcomesOfActions: what an action has refused, what has failed on its way, and what a panic has ended.
func TestOutcomesOfActions(t *testing.T) {
	for want, do := range map[string]func() error{
		didIt:   func() error { return nil },
		refusal: func() error { return refuse("action.busy") },
		failure: func() error { return errors.New("the database is away") },
	} {
		withAction(t, action{Name: "test", Path: "/" + want, Role: roleOperator, Reason: true,
			Do: func(*handler, context.Context, actor, url.Values) (outcome, error) { return outcome{}, do() }})
	}
	withAction(t, action{Name: "test", Path: "/panic", Role: roleOperator, Reason: true,
		Do: func(*handler, context.Context, actor, url.Values) (outcome, error) { panic("test") }})
	c := serve(still{night()}, Config{})
	li := as(t, c, "li", roleOperator)
	for _, want := range []string{didIt, refusal, failure} {
		for range mostRefusals + 1 { // the line of an end is always written
			post(t, li, "/"+want, url.Values{"reason": {"because"}})
			records, _ := c.audit.state()
			last := records[len(records)-1]
			if last.Outcome != want || last.Of != last.N-1 || records[len(records)-2].Outcome != begunIt {
				t.Fatalf("an action that is %s: %+v", want, last)
			}
		}
	}
	func() {
		defer func() { recover() }()
		post(t, li, "/panic", url.Values{"reason": {"because"}})
	}()
	body := get(t, li, "/history", in(english)).Body.String()
	if !strings.Contains(body, "Outcome unknown:") || !strings.Contains(body, "Failed: ") {
		t.Error("the history does not show what has failed, or what a panic has ended")
	}
}

// TestStepThatGoesOn: a step that takes longer than its form waits has one line of its begin, and one of its end when
// it has ended.
func TestStepThatGoesOn(t *testing.T) {
	for _, long := range []time.Duration{stepAnswer - 1, stepAnswer, stepAnswer + 1, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := &runner{}
			withAction(t, action{Name: "release-ship", Path: "/test", Role: roleOperator, Reason: true,
				Do: func(_ *handler, _ context.Context, _ actor, _ url.Values) (outcome, error) {
					p := s.prepare("ship", "li")
					s.begin(p, releases.Step{Do: func(context.Context) (releases.Result, error) {
						time.Sleep(long)
						return releases.Result{}, errors.New("no host takes it")
					}})
					time.Sleep(stepAnswer)
					return outcome{later: p.later}, nil
				}})
			c := serve(still{night()}, Config{})
			stop := s.within(t.Context())
			post(t, as(t, c, "li", roleOperator), "/test", url.Values{"reason": {"because"}})
			if long > stepAnswer {
				if got := lines(c.audit); got[len(got)-1] != "release-ship begun" {
					t.Errorf("while it goes on the log has %q", got)
				}
			}
			time.Sleep(long)
			synctest.Wait()
			stop()
			if got := lines(c.audit)[1:]; !slices.Equal(got, []string{"release-ship begun", "release-ship failed"}) {
				t.Errorf("a step of %v: the log has %q", long, got)
			}
			if records, _ := c.audit.state(); c.audit.runs(records[1].N) {
				t.Error("it is still under way")
			}
		})
	}
}

// TestBeginThatIsNotWritten: where the disk takes no line the action is done all the same, and no other line counts as
// that of its begin.
func TestBeginThatIsNotWritten(t *testing.T) {
	var c *Console
	good := filepath.Join(t.TempDir(), "a")
	n := withAction(t, action{Name: "test", Path: "/test", Role: roleOperator, Reason: true,
		Do: func(*handler, context.Context, actor, url.Values) (outcome, error) {
			c.audit.dir = good
			return outcome{}, nil
		}})
	c = keptConsole(t, still{night()}, Config{StateDir: good})
	li := as(t, c, "li", roleOperator)
	c.audit.file.Close()
	c.audit.file = nil
	c.audit.dir = filepath.Join(good, "gone")
	post(t, li, "/test", url.Values{"reason": {"because"}})
	if got := lines(c.audit); *n != 1 || !slices.Equal(got, []string{"in done", "test done"}) {
		t.Errorf("done %d times, the log has %q", *n, got)
	}
	if r, err := VerifyAudit(good, ""); err != nil || r.Broken != nil || r.Lines != 2 || len(r.Open) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
