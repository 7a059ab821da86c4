package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
)

func (a *app) releaseStartCommand(f *releaseFlags) *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use:     "start --reason WHY",
		Short:   "Open a release; refused while another one is open",
		Example: `  skerry release start --by alice --reason "new token format"`,
		Args:    cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			if reason == "" {
				return usagef("say why: --reason WHY")
			}
			f.by = f.operator()
			step, err := releases.PlanStart(ctx, to, f.by, reason)
			return a.step(ctx, f, step, err)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "`WHY`, for the audit trail")
	return c
}

func (a *app) releaseRollbackCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Send new requests to the old versions again, of all modules at once",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			step, err := releases.PlanRollback(ctx, to, a.teller())
			return a.step(ctx, f, step, err)
		}),
	}
}
