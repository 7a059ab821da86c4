package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

func (a *app) policyConfirmCommand(f *policyFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "confirm",
		Short: "Keep the policy that was applied with --confirm",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, leave, err := a.openPolicy(cmd.Context(), f)
			if err != nil {
				return err
			}
			defer leave()
			newest, _ := s.state.Log.Newest()
			switch {
			case newest.Number == 0:
				return problemf("the site has no policy, so there is nothing to confirm")
			case newest.Confirm == 0:
				return problemf("policy %d waits for no confirmation", newest.Number)
			case s.now.Hash() != newest.Hash():
				return problemf("policy %d was not confirmed in time, and the site went back to %d; apply it again: "+
					"skerry policy show %d > FILE, then skerry policy apply FILE", newest.Number, s.now.Number,
					newest.Number)
			}
			e := s.next(newest.Text, "confirm", f)
			return a.changePolicy(cmd.Context(), s, e, f, fmt.Sprintf("keep policy %d", newest.Number))
		},
	}
	f.registerWhy(c)
	return c
}

func (a *app) policyUndoCommand(f *policyFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "undo [NUMBER]",
		Short: "Bring an older policy back, under a new number",
		Long: `Brings back the text of NUMBER, without it the policy before the one in force, and
the plans that were on then. A policy that was applied with --confirm is passed over:
it went back by itself, or stands under the number of its confirmation. It is a new
entry of the log, so that an undo can be undone, too. Releases stay as they are.
Before it asks it shows what that would have done in the last 5 minutes.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.undoPolicy(cmd.Context(), args, f) },
	}
	f.registerWhy(c)
	return c
}

func (a *app) undoPolicy(ctx context.Context, args []string, f *policyFlags) error {
	number := uint64(0)
	if len(args) == 1 {
		n, err := policyNumber(args[0])
		if err != nil {
			return err
		}
		number = n
	}
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	if len(s.state.Log.Entries()) == 0 {
		return problemf("the site has no policy, so there is nothing to undo")
	}
	if newest, _ := s.state.Log.Newest(); number == 0 && newest.Hash() != s.now.Hash() {
		return problemf("policy %d was not confirmed, and the site went back to %d by itself; skerry policy undo "+
			"NUMBER names another one", newest.Number, s.now.Number)
	}
	old, known := s.state.Log.Before(s.now)
	switch {
	case number > 0:
		if old, err = s.find(number); err != nil {
			return err
		}
	case !known:
		return problemf("the policy before %d is not kept any more; skerry policy history lists those that are, for "+
			"skerry policy undo NUMBER", s.now.Number)
	}
	e := s.next(textOf(old), "undo", f)
	e.Undoes, e.On = old.Number, old.On
	plan := fmt.Sprintf("bring policy %s back, as %d", policyTitle(old), e.Number)
	if old.Number == 0 {
		plan = fmt.Sprintf("make an empty policy %d, as there was none before %d", e.Number, s.now.Number)
	}
	notes, err := a.undoNotes(ctx, s, e)
	if err != nil {
		return err
	}
	return a.changePolicy(ctx, s, e, f, append([]string{plan}, notes...)...)
}

// undoNotes says what of an older policy does not fit the site of today. It refuses nothing: an undo is for trouble.
func (a *app) undoNotes(ctx context.Context, s *policySite, e policylog.Entry) ([]string, error) {
	p, lost, err := form.Understand([]byte(e.Text))
	if err != nil {
		return nil, problemf("this skerry can't read that policy, and processes of its version would not obey it: %w",
			err)
	}
	var notes []string
	for _, l := range lost {
		notes = append(notes, "note: processes of this version of skerry leave out "+l.String())
	}
	faults, more := judgePolicy(withPlans(p, e.On), a.look(ctx, s.node, "").Instances, s.state.Processes,
		func(string) bool { return true })
	for _, fault := range faults {
		more = append(more, "note: "+fault)
	}
	return append(notes, more...), nil
}

func (a *app) policyPlanCommand(f *policyFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan",
		Short: "Switch a plan of the policy on or off",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	lasts := time.Duration(0)
	on := &cobra.Command{
		Use:   "on NAME",
		Short: "Switch a plan on",
		Long: `Switches a plan of the policy on. Its items stand in front of the others. With --for
each process ends it by its own clock; a plan that is on already begins anew. Before
it asks it shows what the plan would have done in the last 5 minutes.`,
		Example: `  skerry policy plan on storm --for 2h --why "the queue grows since 02:10"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("for") && (lasts < time.Second || lasts > planMost) {
				return usagef("--for: want a time from 1s to %dh", int(planMost.Hours()))
			}
			return a.switchPlan(cmd.Context(), args[0], true, lasts, f)
		},
	}
	on.Flags().DurationVar(&lasts, "for", 0, "end the plan after this `TIME`")
	on.Flags().StringArrayVar(&f.although, "although", nil,
		"switch it on although this `PROCESS|KEY` does not fit; may be repeated")
	off := &cobra.Command{
		Use:   "off NAME",
		Short: "Switch a plan off",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.switchPlan(cmd.Context(), args[0], false, 0, f)
		},
	}
	f.registerWhy(on)
	f.registerWhy(off)
	c.AddCommand(on, off)
	return c
}

// planMost bounds plan on --for.
const planMost = 90 * 24 * time.Hour

// faultsBesides are the keys of what does not fit the site already, without a plan: they are no reason to leave it off.
func faultsBesides(plan string, p *policy.Policy, listed []discovery.Entry) (keys []string) {
	for _, found := range policy.CheckSite(p, instancesOf(listed)) {
		if !found.Note && !strings.HasPrefix(found.Key, "plans."+plan+".") {
			keys = append(keys, found.Key)
		}
	}
	return keys
}

func (a *app) switchPlan(ctx context.Context, name string, on bool, lasts time.Duration, f *policyFlags) error {
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	p, _, err := form.Understand([]byte(textOf(s.now)))
	if err != nil {
		return problemf("policy %d: %w", s.now.Number, err)
	}
	if s.now.Number == 0 {
		return problemf("the site has no policy, so there is no plan %s", name)
	}
	if s.now.Confirm > 0 {
		return problemf("policy %s waits for its confirmation, and a plan would keep it for good: first skerry policy "+
			"confirm, or skerry policy undo", policyTitle(s.now))
	}
	e := s.next(textOf(s.now), "plan", f)
	was := slices.ContainsFunc(e.On, func(o policylog.On) bool { return o.Name == name })
	e.On = slices.DeleteFunc(e.On, func(o policylog.On) bool { return o.Name == name })
	switch {
	case !on && !was:
		return problemf("plan %s is not on", name)
	case !on:
		return a.changePolicy(ctx, s, e, f, fmt.Sprintf("switch plan %s off", name))
	case p.Plans[name] == nil:
		names := slices.Sorted(maps.Keys(p.Plans))
		return problemf("policy %d has no plan %s%s; it has: %s", s.now.Number, name,
			suggest.DidYouMean(name, names), sortedOr(names, "none"))
	}
	e.On = append(e.On, policylog.On{Name: name, For: lasts, Since: e.Number})
	listed := a.look(ctx, s.node, "").Instances
	var lenient policyFlags
	lenient.although = append(slices.Clone(f.although), faultsBesides(name, withPlans(p, s.now.On), listed)...)
	notes, err := a.fits(ctx, s, withPlans(p, e.On), s.compile(p, e.On), false, &lenient)
	if err != nil {
		return err
	}
	e.Although = f.although
	plan := "switch plan " + name + " on, until skerry policy plan off " + name
	if lasts > 0 {
		plan += ", or for " + durationText(lasts)
	}
	return a.changePolicy(ctx, s, e, f, append([]string{plan}, notes...)...)
}
