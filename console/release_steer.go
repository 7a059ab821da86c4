package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// ask is a step that is planned. It is made when the operator answers.
type ask struct {
	Action  string // of the table of actions
	Step    string // start, ship, commit, rollback, clean
	Command string // that does the same
	Will    []string
	Fields  []fieldOf // of the form that was filled in
	On      string    // state of the site on which it was planned
	Seen    string    // what the operator was told
	Type    string    // must be typed; "": nothing
	Dead    string    // process that the operator declares dead
	Reason  string    // of a release that starts
	Notes   []string
}

// fieldOf is a field of a form with its value.
type fieldOf struct{ Name, Value string }

// stepRequest is a step that a form asks for.
type stepRequest struct {
	step string
	form url.Values
}

// stepFields are the fields of the forms of each step, beside those of the frame.
var stepFields = map[string][]string{
	"start": nil, "rollback": nil, "clean": nil,
	"ship": {"service", "version", "old", "wish", "strategy", "patience", "give_up", "max_failures", "max_p99",
		"min_calls"},
	"commit": {"ramp", "every", "max_failures", "max_p99", "min_calls"},
}

// mostRampTime bounds the time of one share.
const mostRampTime = 24 * time.Hour

// command is the command line that makes the step.
func (q stepRequest) command() string {
	words := []string{"skerry", "release", q.step}
	if q.step == "start" {
		words = append(words, "--reason", shellWord(q.form.Get("reason")))
	}
	for _, name := range stepFields[q.step] {
		value := strings.TrimSpace(q.form.Get(name))
		switch {
		case value == "":
		case name == "service":
			words = append(words, shellWord(value))
		case name == "give_up":
			words = append(words, "--give-up")
		case q.step == "ship" && slices.Contains([]string{"max_failures", "max_p99", "min_calls"}, name):
			// config put keeps these; see puts
		default:
			words = append(words, "--"+strings.ReplaceAll(name, "_", "-"), shellWord(value))
		}
	}
	if dead := q.form.Get("dead"); dead != "" {
		words = append(words, "--dead", shellWord(dead))
	}
	line := strings.Join(words, " ")
	if put := q.puts(); put != "" {
		line = put + " && " + line
	}
	return line
}

// puts is the command that keeps the bounds of a module in the release, "" without any.
func (q stepRequest) puts() string {
	if q.step != "ship" {
		return ""
	}
	var pairs []string
	for _, name := range []string{"max_failures", "max_p99", "min_calls"} {
		if value := strings.TrimSpace(q.form.Get(name)); value != "" {
			pairs = append(pairs, shellWord(name+"="+value))
		}
	}
	if len(pairs) == 0 {
		return ""
	}
	return "skerry release config put " + shellWord(q.form.Get("service")) + " " + strings.Join(pairs, " ")
}

// plainWord is a word that a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,%+@-]+$`)

// shellWord is a text as one word of a command line.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return shellText(s)
}

// plan plans the step.
func (q stepRequest) plan(ctx context.Context, to releases.Operations, t releases.Teller, by string) (releases.Step,
	error) {
	switch q.step {
	case "start":
		if why := strings.TrimSpace(q.form.Get("reason")); !goodReason(why) {
			return releases.Step{}, refuse("action.reason", "n", reasonSize)
		}
		return releases.PlanStart(ctx, to, by, strings.TrimSpace(q.form.Get("reason")))
	case "ship":
		m, err := q.module()
		if err != nil {
			return releases.Step{}, err
		}
		var names []string
		if service := q.form.Get("service"); service != "" {
			names = []string{service}
		}
		return releases.PlanShip(ctx, to, t, releases.Shipping{Module: m, Wait: shipWait}, names)
	case "commit":
		how, err := q.ramp()
		if err != nil {
			return releases.Step{}, err
		}
		return releases.PlanCommit(ctx, to, t, how)
	case "rollback":
		return releases.PlanRollback(ctx, to, t)
	case "clean":
		return releases.PlanClean(ctx, to, t)
	}
	return releases.Step{}, refuse("release.no-step")
}

// module is what the form says of a module.
func (q stepRequest) module() (m releases.Module, err error) {
	value := func(name string) string { return strings.TrimSpace(q.form.Get(name)) }
	m = releases.Module{Version: value("version"), Old: value("old"), Strategy: value("strategy"),
		GiveUp: value("give_up") != "", MaxFailures: value("max_failures"), MaxP99: value("max_p99"),
		MinCalls: value("min_calls"), Env: map[string]string{}}
	if w := value("wish"); w != "" {
		if m.Wish, err = strconv.Atoi(w); err != nil || m.Wish < 1 {
			return m, refuse("release.bad-wish", "value", w)
		}
	}
	if p := value("patience"); p != "" {
		if m.Patience, err = time.ParseDuration(p); err != nil || m.Patience <= 0 {
			return m, refuse("release.bad-time", "value", p)
		}
	}
	return m, m.CheckAll(cmp.Or(value("service"), "all"))
}

// ramp is what the form says of a commit.
func (q stepRequest) ramp() (how releases.Ramp, err error) {
	value := func(name string) string { return strings.TrimSpace(q.form.Get(name)) }
	if how.Shares, err = releases.ParseRamp(cmp.Or(value("ramp"), "100")); err != nil {
		return how, err
	}
	if how.Failures, err = releases.ParsePercent(value("max_failures")); err != nil {
		return how, fmt.Errorf("--max-failures: %w", err)
	}
	how.Every = 2 * time.Minute
	for name, to := range map[string]*time.Duration{"every": &how.Every, "max_p99": &how.P99} {
		if text := value(name); text != "" {
			if *to, err = time.ParseDuration(text); err != nil || *to < time.Millisecond || *to > mostRampTime {
				return how, refuse("release.bad-time", "value", text)
			}
		}
	}
	how.Calls = 50
	if text := value("min_calls"); text != "" {
		if how.Calls, err = strconv.ParseInt(text, 10, 64); err != nil || how.Calls < 1 {
			return how, refuse("release.bad-calls", "value", text)
		}
	}
	return how, nil
}

// typed is what the operator has to type before the step: the versions that can't come back, or the process that is
// declared dead.
func (q stepRequest) typed(r rollout.Release) string {
	if dead := q.form.Get("dead"); dead != "" {
		return dead
	}
	if q.step != "clean" {
		return ""
	}
	var versions []string
	for _, m := range r.Modules {
		versions = append(versions, r.Outgoing(m))
	}
	slices.Sort(versions)
	return strings.Join(slices.Compact(versions), " ")
}

// digits are left out where two plans are compared: some count what goes on.
var digits = regexp.MustCompile(`[0-9]+`)

// seen is a code of what the operator is told by a plan.
func seen(will []string) string { return Code(digits.ReplaceAllString(strings.Join(will, "\n"), "#")) }

// on is the state that a step was planned on. A rollback may be answered while the share of its release grows: it does
// the same then.
func (q stepRequest) on(step releases.Step, r rollout.Release) string {
	if q.step == "rollback" {
		return r.Name
	}
	return step.On
}

// planned asks the site for a step.
func (c *handler) planned(ctx context.Context, by actor, q stepRequest) (*progress, releases.Step, ask, error) {
	if c.steps.open == nil {
		return nil, releases.Step{}, ask{}, refuse("release.no-site")
	}
	if _, known := stepFields[q.step]; !known {
		return nil, releases.Step{}, ask{}, refuse("release.no-step")
	}
	dead := q.form.Get("dead")
	if dead != "" && !wholeProcess(dead) {
		return nil, releases.Step{}, ask{}, refuse("release.bad-process", "value", dead)
	}
	op, _ := c.operator(by)
	op.Name = by.Name // of plans, too
	if dead != "" {
		op.Without = []string{dead}
	}
	p := c.steps.prepare(q.step, by.Name)
	to := c.steps.open(op, p.teller())
	step, err := q.plan(ctx, to, p.teller(), by.Name)
	if err != nil {
		return nil, step, ask{}, explained(err)
	}
	if dead != "" {
		step.Will = append(step.Will, "take your word for it, in the audit trail, that "+dead+" is dead")
	}
	s, err := to.State(ctx)
	if err != nil {
		return nil, step, ask{}, explained(err)
	}
	r, _ := s.Newest()
	a := ask{Action: "release-" + q.step, Step: q.step, Command: q.command(), Will: step.Will, On: q.on(step, r),
		Seen: seen(step.Will), Type: q.typed(r), Dead: dead, Reason: q.form.Get("reason"), Notes: p.Notes}
	if dead != "" {
		a.Action = "release-without"
	}
	for _, name := range stepFields[q.step] {
		if v := q.form.Get(name); v != "" {
			a.Fields = append(a.Fields, fieldOf{name, v})
		}
	}
	if q.step == "start" {
		a.On = step.On
	}
	return p, step, a, nil
}

// wholeProcess reports whether a text names one process as host/pid/epoch: a whole host is declared dead by the command
// only.
func wholeProcess(name string) bool {
	_, err := registry.ParseOwner(name)
	return err == nil
}

// explained is an error of a step as the page says it.
func explained(err error) error {
	if r, ok := errors.AsType[*refused](err); ok {
		return r
	}
	return notDone(releases.Explain(err))
}

// planRelease shows what a step will do, and asks.
func (c *handler) planRelease(ctx context.Context, by actor, form url.Values) (outcome, error) {
	if form.Get("dead") != "" && by.Role < roleAdmin {
		return outcome{To: "/release"}, &refused{denied(action{Role: roleAdmin}, by)}
	}
	_, _, a, err := c.planned(ctx, by, stepRequest{form.Get("step"), form})
	if err != nil {
		return outcome{To: "/release"}, err
	}
	return c.asking(ctx, a, phrase{})
}

// asking is the page of releases with a question.
func (c *handler) asking(ctx context.Context, a ask, said phrase) (outcome, error) {
	s := c.site.snapshot(ctx)
	p, err := s.release()
	if err != nil {
		return outcome{To: "/release"}, err
	}
	p.Ask = &a
	return outcome{Page: "release", Content: p, Said: said}, nil
}

// stepOf returns the action of a step of a release.
func stepOf(step string) func(*handler, context.Context, actor, url.Values) (outcome, error) {
	return func(c *handler, ctx context.Context, by actor, form url.Values) (outcome, error) {
		form.Del("dead")
		return c.makeStep(ctx, by, stepRequest{step, form})
	}
}

// withoutProcess makes a step without a process that the operator declares dead.
func (c *handler) withoutProcess(ctx context.Context, by actor, form url.Values) (outcome, error) {
	if form.Get("dead") == "" {
		return outcome{To: "/release"}, refuse("release.bad-process", "value", "")
	}
	return c.makeStep(ctx, by, stepRequest{form.Get("step"), form})
}

// makeStep makes a step that the operator has answered for.
func (c *handler) makeStep(ctx context.Context, by actor, q stepRequest) (outcome, error) {
	back := outcome{To: "/release"}
	p, step, a, err := c.planned(ctx, by, q)
	if err != nil {
		return back, err
	}
	back.Before = a.On[:min(len(a.On), 12)]
	switch {
	case q.form.Get("on") != a.On:
		return back, c.stale(ctx)
	case q.form.Get("seen") != a.Seen:
		asked, err := c.asking(ctx, a, phrase{})
		if err == nil {
			err = refuse("release.changed") // so that the history does not say that the step was made
		}
		asked.Before = back.Before
		return asked, err
	case strings.Join(strings.Fields(q.form.Get("typed")), " ") != a.Type:
		return back, refuse("release.typed", "text", a.Type)
	}
	if _, ok := c.operator(by); !ok {
		back.Confirm = &confirmation{Command: a.Command, Code: StepCode(step.On, step.Will)}
		if q.puts() != "" {
			back.Confirm.Code = "" // the first command changes the log, and with it the code
		}
		return back, nil
	}
	if q.step == "rollback" {
		c.steps.stop(ctx) // of a commit that this console watches
	}
	if !c.steps.begin(p, step) {
		return back, refuse("release.busy")
	}
	timer := time.NewTimer(stepAnswer)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		back.Said, back.later = say("release.begun"), p.later
		return back, nil
	}
	if p.Failed != "" {
		return back, errors.New(p.Failed)
	}
	back.Said, back.After = plain(strings.Join(p.Said, "\n")), afterOf(c.steps.look())
	return back, nil
}

// afterOf is what a step has led to, for the audit log.
func afterOf(p *progress) string {
	if p == nil || len(p.Said) == 0 {
		return ""
	}
	return p.Said[0]
}

// stale says by which step the site has gone on since a page was made.
func (c *handler) stale(ctx context.Context) error {
	s := c.site.snapshot(ctx)
	if n := len(s.Rollout.Trail); n > 0 {
		e := s.Rollout.Trail[n-1]
		return refuse("release.stale-step", "step", phrase{Step: strings.TrimSpace(e.Step)}, "by", e.By,
			"age", number.Age(time.Since(e.At)))
	}
	return refuse("release.stale")
}

// holdRelease ends the step that this console makes: a commit stays at its share, a drain goes on later.
func (c *handler) holdRelease(ctx context.Context, _ actor, _ url.Values) (outcome, error) {
	p := c.steps.stop(ctx)
	if p == nil {
		return outcome{To: "/release"}, refuse("release.nothing-runs")
	}
	return outcome{To: "/release", Said: say("release.held", "step", p.Action)}, nil
}
