package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policychange"
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
			step, err := s.ToConfirm("confirm", f.why)
			if err != nil {
				return policyFailure(err)
			}
			return a.changePolicy(cmd.Context(), s, step, f)
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
	step, err := s.ToUndo(ctx, number, f.why, a.lister(ctx, s))
	if err != nil {
		return policyFailure(err)
	}
	return a.changePolicy(ctx, s, step, f)
}

// lister looks which instances the site has.
func (a *app) lister(ctx context.Context, s *policychange.Site) func() []discovery.Entry {
	return func() []discovery.Entry { return a.look(ctx, s.Node, "").Instances }
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
			if cmd.Flags().Changed("for") && (lasts < time.Second || lasts > policychange.PlanMost) {
				return usagef("--for: want a time from 1s to %dh", int(policychange.PlanMost.Hours()))
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

func (a *app) switchPlan(ctx context.Context, name string, on bool, lasts time.Duration, f *policyFlags) error {
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	step, err := s.ToSwitch(ctx, policychange.Switch{Name: name, On: on, For: lasts, Although: f.although, Why: f.why},
		a.lister(ctx, s))
	if err != nil {
		return policyFailure(err)
	}
	return a.changePolicy(ctx, s, step, f)
}
