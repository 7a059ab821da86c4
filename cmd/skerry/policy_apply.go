package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/cmd/skerry/internal/textdiff"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry"
)

// Bounds of apply --confirm, and how long a change waits to be obeyed.
const (
	confirmLeast = 10 * time.Second
	confirmMost  = 24 * time.Hour
	policyWait   = 5 * time.Second
)

// policyResult is a change in the output of the commands that make one.
type policyResult struct {
	Cluster   string          `json:"cluster"`
	Number    uint64          `json:"number"`
	Hash      string          `json:"hash"`
	Confirm   float64         `json:"confirm_s,omitempty"` // it goes back by itself after that
	Kept      string          `json:"not_kept,omitempty"`  // why the database does not have it
	Obeyed    int             `json:"obeyed"`
	TookMS    int64           `json:"took_ms"`
	Processes []policyProcess `json:"processes"`

	took time.Duration
}

// policyProcess is a process in the output of show and of the commands that change the policy.
type policyProcess struct {
	Process string         `json:"process"`
	Obeys   bool           `json:"obeys"`            // the policy in question, whole
	Number  uint64         `json:"number,omitempty"` // that it obeys; 0: none
	Why     string         `json:"why,omitempty"`
	Lost    []form.Problem `json:"not_obeyed,omitempty"`
}

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

Exit code 1 when the text is refused, or when it has limits or access lists and not
every process obeys it.`,
		Example: `  skerry policy show > site-policy.yaml
  skerry policy apply site-policy.yaml --why "fan of h3 is broken"
  skerry policy apply site-policy.yaml --confirm 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if confirm != 0 && (confirm < confirmLeast || confirm > confirmMost) {
				return usagef("--confirm: want a time from %s to %s", durationText(confirmLeast),
					durationText(confirmMost))
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
	newest, _ := s.state.Log.Newest()
	if made != nil && *made != newest.Number && *made != s.now.Number {
		return a.refuseStale(s, *made, text)
	}
	e := s.next(text, "cli", f)
	e.Confirm = confirm
	maps.Copy(e.Replies, thrifts)
	same := maps.EqualFunc(e.Replies, s.now.Replies, bytes.Equal)
	if same && s.now.Number > 0 && s.now.Number == newest.Number && s.now.Confirm == 0 && text == s.now.Text {
		a.note("policy %d is this text already; nothing is to be done", s.now.Number)
		return a.awaitPolicy(ctx, s, s.now, nil, time.Now())
	}
	notes, err := a.fits(ctx, s, withPlans(p, e.On), s.compile(p, e.On), confirm > 0, f)
	if err != nil {
		return err
	}
	notes = append(append(s.unconfirmed(), uncheckedReplies(p, e.Replies)...), notes...)
	if confirm == 0 {
		notes = append(notes, s.newlyEnforced(p)...)
	}
	e.Although = f.although
	plan := fmt.Sprintf("make this policy %d of %s", e.Number, s.cluster)
	if confirm > 0 {
		plan += ", and go back after " + durationText(confirm) + " without skerry policy confirm"
	}
	return a.changePolicy(ctx, s, e, f, append(append([]string{plan}, remarks...), notes...)...)
}

// uncheckedReplies names the replies that are to keep calls away and were compared with no .thrift file: where such a
// reply does not fit its method, the call is sent.
func uncheckedReplies(p *policy.Policy, checked map[string][]byte) (notes []string) {
	sitepolicy.EachFallback(p, func(i *policy.Item) {
		if _, fits := checked[sitepolicy.ReplyID(i)]; !fits && slices.Contains(i.On, "always") {
			notes = append(notes, "note: "+i.Key+": calls are sent all the same where the reply does not fit the "+
				"method; --idl "+i.Service+"=FILE checks it")
		}
	})
	slices.Sort(notes)
	return notes
}

// newlyEnforced names the access lists that begin to refuse calls.
func (s *policySite) newlyEnforced(p *policy.Policy) (notes []string) {
	now, _, err := form.Understand([]byte(textOf(s.now)))
	if err != nil {
		now = &policy.Policy{}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		was := now.Services[name]
		if access := p.Services[name].Access; access == nil || !access.Enforce ||
			was != nil && was.Access != nil && was.Access.Enforce {
			continue
		}
		notes = append(notes, "note: services."+name+".access begins to refuse calls; with --confirm 10m the site "+
			"goes back by itself when that cuts off too much")
	}
	return notes
}

// refuseStale shows what has changed since a text was made, and what the text changes.
func (a *app) refuseStale(s *policySite, made uint64, text string) error {
	base := policylog.Entry{}
	if made > 0 {
		var err error
		if base, err = s.find(made); err != nil {
			return err
		}
	}
	if !a.flags.json {
		a.printf("Since policy %d, %s:\n", made, policyTitle(s.now))
		a.printDifference(textOf(base), textOf(s.now))
		a.printf("The text to apply, against policy %d:\n", made)
		a.printDifference(textOf(base), text)
	}
	return problemf("the text was made on policy %d, and the newest is %s: put both changes into one text, and apply "+
		"it with --on %d", made, policyTitle(s.now), s.now.Number)
}

// policyTitle names an entry with its author and reason.
func policyTitle(e policylog.Entry) string {
	text := strconv.FormatUint(e.Number, 10)
	if e.By != "" {
		text += " of " + e.By
	}
	if e.Why != "" {
		text += " (" + e.Why + ")"
	}
	return text
}

func (a *app) printDifference(from, to string) {
	for _, line := range textdiff.Unified(from, to) {
		fmt.Fprintln(a.out, line) // which quotes all but tabs
	}
}

// fits compares a policy with the site; then is its table with the plans that are on. It returns what the operator
// should know, or an error for what only --although lets pass. A policy that is to be confirmed may cut callers off.
func (a *app) fits(
	ctx context.Context, s *policySite, p *policy.Policy, then *policy.Table, confirm bool, f *policyFlags,
) (notes []string, err error) {
	listed := a.look(ctx, s.node, "").Instances
	faults, notes := judgePolicy(p, listed, s.state.Processes, f.accepted)
	cut, warnings, err := s.cutsOff(ctx, then, listed, func(key string) bool { return confirm || f.accepted(key) })
	if err != nil {
		return nil, err
	}
	faults, notes = append(faults, cut...), append(append(notes, warnings...), a.asleep(ctx, s, p)...)
	if len(faults) > 0 {
		return nil, problemf("%w\nNothing was done. --although KEY or --although HOST/PID accepts one, and is kept in "+
			"the log", joined(faults))
	}
	return notes, nil
}

// judgePolicy compares a policy with what is listed, and with what the processes understand. accepted says of a key or
// a process that the operator has accepted it.
func judgePolicy(
	p *policy.Policy, listed []discovery.Entry, processes []control.PolicyProcess, accepted func(string) bool,
) (faults, notes []string) {
	for _, found := range policy.CheckSite(p, instancesOf(listed)) {
		switch text := found.Key + ": " + found.Text; {
		case found.Note || accepted(found.Key):
			notes = append(notes, "note: "+text)
		default:
			faults = append(faults, text)
		}
	}
	for _, process := range processes {
		if process.Err == nil && process.Status.Obey == sitepolicy.ObeysNone {
			notes = append(notes, "note: "+process.Process+" will not obey it: "+process.Status.Because)
		}
	}
	guarded := protectiveServices(p, nil)
	for _, process := range processes {
		if !errors.Is(process.Err, control.ErrNoPolicies) {
			continue
		}
		weak := slices.ContainsFunc(listed, func(e discovery.Entry) bool {
			return e.Owner == process.Process && (guarded[e.Service] || guarded[policy.Every])
		})
		text := process.Process + ": " + process.Err.Error()
		if weak && !accepted(process.Process) {
			faults = append(faults, text+"; it offers a service with limits or access, which it would not enforce")
		} else {
			notes = append(notes, "note: "+text)
		}
	}
	return faults, notes
}

// withPlans is a policy with the plans that are on.
func withPlans(p *policy.Policy, on []policylog.On) *policy.Policy {
	with := *p
	with.On = nil
	for _, o := range on {
		with.On = append(with.On, policy.On(o))
	}
	return &with
}

// unconfirmed warns that a further change ends the wait for a confirmation.
func (s *policySite) unconfirmed() []string {
	if s.now.Confirm == 0 {
		return nil
	}
	return []string{"note: policy " + policyTitle(s.now) + " waits for its confirmation; this takes its place, and " +
		"then the site does not go back by itself to what was before it"}
}

// joined is an error with a line for each text.
func joined(texts []string) error {
	var all error
	for _, t := range texts {
		all = errors.Join(all, quote.Errorf("%s", t))
	}
	return all
}

// instancesOf returns the living instances of the lists, with the weights that they have without a policy.
func instancesOf(entries []discovery.Entry) (out []registry.Instance) {
	for _, e := range entries {
		owner, err := registry.ParseOwner(e.Owner)
		if err != nil || !e.State.Here() {
			continue
		}
		weight := e.Own
		if weight == 0 {
			weight = -1 // it gets no calls
		}
		out = append(out, registry.Instance{Service: e.Service, Version: e.Version, Zone: e.Zone, Tags: e.Tags,
			Weight: weight, Owner: owner})
	}
	return out
}

// changePolicy shows a change, asks, makes it, and waits until it is obeyed.
func (a *app) changePolicy(
	ctx context.Context, s *policySite, e policylog.Entry, f *policyFlags, plan ...string,
) error {
	if !a.flags.json && e.Text != textOf(s.now) {
		a.printDifference(textOf(s.now), e.Text)
	}
	a.previewPolicy(ctx, s, e, f)
	if !s.node.Membership().Trust().Provable() {
		plan = append(plan, "note: the site has no key, so any program that reaches a process can change the policy; "+
			"skerry key new makes one")
	}
	if err := a.confirm(&f.releaseFlags, plan...); err != nil {
		return err
	}
	before, err := s.Look(ctx) // an operator may have changed it while this one read
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	begun := time.Now()
	put, kept, err := s.Put(ctx, before, e)
	switch {
	case errors.Is(err, policylog.ErrStale):
		return problemf("%w\nNothing was done. Next: skerry policy history, then repeat it", err)
	case errors.Is(err, registry.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return unreachablef("%w", err)
	case err != nil:
		return problemf("%w", err)
	}
	return a.awaitPolicy(ctx, s, put, kept, begun)
}

// awaitPolicy waits until all processes obey an entry, and prints what they say.
func (a *app) awaitPolicy(ctx context.Context, s *policySite, e policylog.Entry, kept error, begun time.Time) error {
	limited, cancel := context.WithTimeout(ctx, policyWait)
	defer cancel()
	state, err := s.Await(limited, e)
	if err != nil {
		return unreachablef("policy %d is made; which processes obey it is not known: %w", e.Number, err)
	}
	r := policyResult{Cluster: s.cluster, Number: e.Number, Hash: e.Hash(), Confirm: e.Confirm.Seconds(),
		took: time.Since(begun), Processes: []policyProcess{}}
	r.TookMS = r.took.Milliseconds()
	if kept != nil {
		r.Kept = kept.Error()
	}
	for _, p := range state.Processes {
		said := obeys(p, e)
		r.Processes = append(r.Processes, said)
		if said.Obeys {
			r.Obeyed++
		}
	}
	p, _, err := form.Understand([]byte(e.Text))
	on := func(plan string) bool {
		return slices.ContainsFunc(e.On, func(on policylog.On) bool { return on.Name == plan })
	}
	return a.printPolicyResult(r, err == nil && len(protectiveServices(p, on)) > 0)
}

// obeys says whether a process obeys an entry.
func obeys(p control.PolicyProcess, e policylog.Entry) policyProcess {
	out := policyProcess{Process: p.Process, Number: p.Status.Number}
	switch s := p.Status; {
	case p.Err != nil:
		out.Why = p.Err.Error()
	case s.Obey == sitepolicy.ObeysNone && e.Number > 0:
		out.Why = s.Because
	case s.Hash == e.Hash() && e.Number > 0, s.Number == 0 && e.Number == 0:
		out.Lost, out.Obeys = s.Lost, len(s.Lost) == 0
		if len(s.Lost) > 0 {
			out.Why = "it can't obey " + s.Lost[0].Key + ": " + s.Lost[0].Text
		}
	case s.Newest > e.Number:
		out.Why = fmt.Sprintf("it has policy %d", s.Newest)
	case s.Because != "":
		out.Why = s.Because
	default:
		out.Why = "it does not have it yet"
	}
	return out
}

// printPolicyResult prints a change. protective says that a process which does not obey it leaves a callee open.
func (a *app) printPolicyResult(r policyResult, protective bool) error {
	var failed error
	if r.Obeyed < len(r.Processes) && (protective || r.Obeyed == 0) {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(r), failed)
	}
	a.item("", "Policy %d is obeyed by %d of %s after %s.", r.Number, r.Obeyed,
		count(len(r.Processes), "process", "es"), number.Latency(r.took))
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
