package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

func (a *app) policyApplyCommand(f *policyFlags) *cobra.Command {
	confirm, on := time.Duration(0), uint64(0)
	var replies policyReplies
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a text the policy of the site",
		Long: `Checks the text, compares it with the living instances of the site, shows what it
changes and what it would have done in the last 5 minutes (see skerry policy try),
asks, signs it, brings it to all processes, and waits up to 5 s until they obey it.
FILE may be - for the standard input.

The text of skerry policy show begins with a line that says on which policy it was
made. When the policy has changed since, apply refuses, and shows both changes.
--on NUMBER says the same for a text without that line.

With --confirm the site goes back to the policy before by itself after that time,
unless skerry policy confirm comes first. Use it for access lists.

Refused are routes to no living instance without else: all, services left without
an instance of a weight above 0, and limits and access of services at a process
that knows no policies. --although takes the key of such an item, or HOST/PID, and
is kept in the log. Refused, too, is an access list that begins to refuse skerry
call, a gateway or a program behind a proxy; with --confirm it is taken.

The reply of a fallback is JSON. --idl SERVICE=FILE checks it by the service's .thrift
file, and lets programs without generated code give it, too, such as a gateway or a
proxy. The site keeps what was made of it as long as the reply stays the same.

Exit code 1 when the text is refused, when it has limits or access lists and a process
that can be reached does not obey it, or when no process does. One that is gone or cut
off is only named: it obeys when it is back.`,
		Example: `  skerry policy show > site-policy.yaml
  skerry policy apply site-policy.yaml --why "fan of h3 is broken"
  skerry policy apply site-policy.yaml --confirm 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if confirm != 0 && (confirm < policychange.ConfirmLeast || confirm > policychange.ConfirmMost) {
				return usagef("--confirm: want a time from %s to %s", durationText(policychange.ConfirmLeast),
					durationText(policychange.ConfirmMost))
			}
			var made *uint64
			if cmd.Flags().Changed("on") {
				made = &on
			}
			return a.applyPolicy(cmd.Context(), args[0], made, confirm, replies, f)
		},
	}
	c.Flags().DurationVar(&confirm, "confirm", 0, "go back after this `TIME` unless skerry policy confirm comes first")
	c.Flags().Uint64Var(&on, "on", 0, "`NUMBER` of the policy on which the text was made")
	c.Flags().StringArrayVar(&f.although, "although", nil,
		"apply although this `PROCESS|KEY` does not fit; may be repeated")
	c.Flags().StringToStringVar(&replies.files, "idl", nil,
		"make Thrift of the replies of fallbacks, by `SERVICE=FILE`; may be repeated")
	c.Flags().StringArrayVarP(&replies.includes, "include", "I", nil,
		"`DIR` to look for included .thrift files in; may be repeated")
	f.registerWhy(c)
	return c
}

// registerWhy defines the option for the text that goes into the log.
func (f *policyFlags) registerWhy(c *cobra.Command) {
	c.Flags().StringVar(&f.why, "why", "", "`REASON`; the history shows it")
}

// readPolicy reads a text with the number on which it was made; nil when it does not say it.
func (a *app) readPolicy(path string) (text string, made *uint64, err error) {
	var b []byte
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(a.in, form.MaxText+1))
		if err == nil && len(b) > form.MaxText {
			err = fmt.Errorf("the standard input has more than the %d bytes that a policy may have", form.MaxText)
		}
	} else {
		b, err = statedir.ReadNamed(path, form.MaxText)
	}
	if err != nil {
		return "", nil, usagef("%w", err)
	}
	text = strings.TrimPrefix(string(b), byteOrderMark) // editors of Windows put it before the line of show
	if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, madeOn) {
		word, _, _ := strings.Cut(strings.TrimPrefix(first, madeOn), " ")
		n, err := strconv.ParseUint(strings.TrimSpace(word), 10, 64)
		if err != nil {
			return "", nil, usagef("%s:1: %q has no number; take the line out, or say --on NUMBER", path, first)
		}
		return rest, &n, nil
	}
	return text, nil, nil
}

// checkedPolicy reads a text that must have no mistake. remarks are what may be meant so.
func (a *app) checkedPolicy(path string) (
	text string, made *uint64, p *policy.Policy, remarks []string, err error) {
	if text, made, err = a.readPolicy(path); err != nil {
		return "", nil, nil, nil, err
	}
	p, problems := form.Read([]byte(text))
	switch first := slices.IndexFunc(problems, func(p form.Problem) bool { return !p.Note }); {
	case p == nil && a.flags.json:
		return "", nil, nil, nil, problemf("%s: %s; skerry policy check reports all mistakes", path, problems[first])
	case p == nil:
		a.printPolicyProblems(path, problems)
		return "", nil, nil, nil, problemf("%s has mistakes; nothing was done", path)
	}
	for _, note := range problems {
		remarks = append(remarks, "note: "+note.String())
	}
	return text, made, p, remarks, nil
}

const byteOrderMark = "\ufeff"

// madeOn begins the line by which a text says on which policy it was made.
const madeOn = "# made on policy "

func (a *app) applyPolicy(
	ctx context.Context, path string, on *uint64, confirm time.Duration, replies policyReplies, f *policyFlags,
) error {
	text, made, p, remarks, err := a.checkedPolicy(path)
	if err != nil {
		return err
	}
	if on != nil {
		made = on
	}
	thrifts, err := replies.make(ctx, p)
	if err != nil {
		return err
	}
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	if made != nil && s.Stale(*made) {
		return a.refuseStale(s, *made, text)
	}
	step, err := s.ToApply(ctx, policychange.Draft{Text: text, Policy: p, Remarks: remarks, Replies: thrifts,
		Confirm: confirm, Although: f.although, Why: f.why, Origin: "cli"}, a.look(ctx, s.Node, "").Instances)
	if err != nil {
		return policyFailure(err)
	}
	if step.Same {
		if !s.State.Lost {
			a.note("policy %d is this text already; nothing is to be done", s.Now.Number)
			return a.awaitPolicy(ctx, s, s.Now, nil, time.Now())
		}
		a.note("policy %d is this text already; the database has lost it, and is given it again", s.Now.Number)
		return a.awaitPolicy(ctx, s, s.Now, s.Keep(ctx, s.State), time.Now())
	}
	return a.changePolicy(ctx, s, step, f)
}

// refuseStale shows what has changed since a text was made, and what the text changes.
func (a *app) refuseStale(s *policychange.Site, made uint64, text string) error {
	base := policylog.Entry{}
	if made > 0 {
		var err error
		if base, err = s.Find(made); err != nil {
			return err
		}
	}
	if !a.flags.json {
		a.printf("Since policy %d, %s:\n", made, policychange.Title(s.Now))
		a.printDifference(policychange.TextOf(base), policychange.TextOf(s.Now))
		a.printf("The text to apply, against policy %d:\n", made)
		a.printDifference(policychange.TextOf(base), text)
	}
	return problemf("the text was made on policy %d, and the newest is %s: put both changes into one text, and apply "+
		"it with --on %d", made, policychange.Title(s.Now), s.Now.Number)
}

func (a *app) printDifference(from, to string) {
	for _, line := range textdiff.Unified(from, to) {
		fmt.Fprintln(a.out, line) // which quotes all but tabs
	}
}

// joined is an error with a line for each text.
func joined(texts []string) error {
	var all error
	for _, t := range texts {
		all = errors.Join(all, quote.Errorf("%s", t))
	}
	return all
}

// changePolicy shows a change, asks, makes it, and waits until it is obeyed.
func (a *app) changePolicy(
	ctx context.Context, s *policychange.Site, step policychange.Step, f *policyFlags,
) error {
	if len(step.Faults) > 0 {
		return problemf("%w\nNothing was done. --although KEY or --although HOST/PID accepts one, and is kept in "+
			"the log", joined(step.Faults))
	}
	e := step.Entry
	if !a.flags.json && e.Text != policychange.TextOf(s.Now) {
		a.printDifference(policychange.TextOf(s.Now), e.Text)
	}
	a.previewPolicy(ctx, s, e, f)
	plan := append([]string{step.Plan}, step.Notes...)
	if !s.Node.Membership().Trust().Provable() {
		plan = append(plan, "note: the site has no key, so any program that reaches a process can change the policy; "+
			"skerry key new makes one")
	}
	if err := a.sameCode(&f.releaseFlags, console.PolicyCode(s.Now, e)); err != nil {
		return err
	}
	if err := a.confirm(&f.releaseFlags, plan...); err != nil {
		return err
	}
	begun := time.Now()
	put, kept, err := s.Make(ctx, e)
	if errors.Is(err, policylog.ErrStale) {
		return problemf("%w\nNothing was done. Next: skerry policy history, then repeat it", err)
	}
	if err != nil {
		return policyFailure(err)
	}
	return a.awaitPolicy(ctx, s, put, kept, begun)
}

// awaitPolicy waits until all processes obey an entry, and prints what they say.
func (a *app) awaitPolicy(
	ctx context.Context, s *policychange.Site, e policylog.Entry, kept error, begun time.Time,
) error {
	r, err := s.Outcome(ctx, e, kept, begun)
	if err != nil {
		return policyFailure(err)
	}
	return a.printPolicyResult(r)
}

// printPolicyResult prints a change.
func (a *app) printPolicyResult(r policychange.Result) error {
	var failed error
	if r.Failed() {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(r), failed)
	}
	a.item("", "Policy %d is obeyed by %d of %s after %s.", r.Number, r.Obeyed,
		count(len(r.Processes), "process", "es"), number.Latency(r.Took))
	for _, p := range r.Processes {
		if !p.Obeys {
			a.item("  ", "%s: %s", p.Process, p.Why)
		}
	}
	if r.Kept != "" {
		a.item("", "The database does not have it yet: %s. The next change brings it there.", r.Kept)
	}
	if r.Confirm > 0 {
		a.item("", "It goes back by itself after %s, unless: skerry policy confirm",
			durationText(time.Duration(r.Confirm*float64(time.Second))))
	}
	return failed
}
