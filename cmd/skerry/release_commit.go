package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
)

func (a *app) releaseCommitCommand(f *releaseFlags) *cobra.Command {
	var steps, failures string
	r := releases.Ramp{}
	c := &cobra.Command{
		Use:   "commit",
		Short: "Send new requests to the new versions, of all modules at once",
		Long: `Sends new requests to the new versions of all modules at once. With --ramp a
growing share of the users goes first; users that have met a new version stay
with it.

--max-failures and --max-p99 guard the new versions, during the ramp and for
--every after its last step: when one of them is crossed, everything is rolled
back. What both sides of a call count must keep the bounds, so that a version
that no caller can reach fails, too. A module may declare bounds of its own,
in release.yaml or by skerry release config put: max_failures, max_p99,
min_calls, guard=off.

Where two versions of a module may never run at once (strategies blocking and
waiting), it goes on until the old one has stopped and the new one is up, and
says what is to be stopped and started; calls wait meanwhile. An interrupted
one stays where it is: commit again goes on, rollback turns back.

A version is called well after --min-calls calls in which nothing was crossed;
so many that one bad call is within the bounds. With fewer the ramp waits, up
to three times --every, and then stays where it is.

This command watches: when it ends early the share stays, and no command watches.
The same command goes on; it watches the share that it finds anew.`,
		Example: "  skerry release commit\n" +
			"  skerry release commit --ramp 10,50,100 --every 2m --max-failures 1% --max-p99 200ms",
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			var err error
			if r.Shares, err = releases.ParseRamp(steps); err != nil {
				return usagef("%w", err)
			}
			if r.Failures, err = releases.ParsePercent(failures); err != nil {
				return usagef("--max-failures: %w", err)
			}
			if r.P99 != 0 && r.P99 < time.Millisecond {
				return usagef("--max-p99 %v: want 1ms or more", r.P99)
			}
			step, err := releases.PlanCommit(ctx, to, a.teller(), r)
			return a.step(ctx, f, step, err)
		}),
	}
	c.Flags().StringVar(&steps, "ramp", "100", "`PERCENTS` of the users, one after the other; the last one is 100")
	c.Flags().DurationVar(&r.Every, "every", 2*time.Minute, "time between two steps of the ramp")
	spell(c, "every", r.Every)
	c.Flags().StringVar(&failures, "max-failures", "",
		"roll back when more than this `SHARE` of a new version's calls fail, such as 1%")
	c.Flags().DurationVar(&r.P99, "max-p99", 0, "roll back when more than 1% of a new version's calls take longer")
	c.Flags().Int64Var(&r.Calls, "min-calls", 50, "`CALLS` of a version at a share, to call it well")
	return c
}
