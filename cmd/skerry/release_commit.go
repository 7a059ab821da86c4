package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/release"
	"github.com/skerry/skerry/rollout"
	"github.com/spf13/cobra"
)

// ramp is how a commit goes on, and when it turns back.
type ramp struct {
	steps []int // per ten thousand, growing; the last is rollout.Whole
	every time.Duration
	release.Guard
}

func (a *app) releaseCommitCommand(f *releaseFlags) *cobra.Command {
	var steps, failures string
	r := ramp{}
	c := &cobra.Command{
		Use:   "commit",
		Short: "Send new requests to the new versions, of all modules at once",
		Long: `Sends new requests to the new versions of all modules at once. With --ramp a
growing share of the users goes first; who has met a new version stays with it.

--max-failures and --max-p99 guard the new versions, during the ramp and for
--every after its last step: when one of them is crossed, everything is rolled
back. Both need at least --min-calls calls of a version to judge.

Where two versions of a module may never run at once (strategies blocking and
waiting), it goes on until the old one has stopped and the new one is up, and
says what is to be stopped and started; calls wait meanwhile. An interrupted
one stays where it is: commit again goes on, rollback turns back.

An interrupted ramp stays at its share; commit again goes on from there.`,
		Example: "  skerry release commit\n  skerry release commit --ramp 10,50,100 --every 2m --max-failures 1% --max-p99 200ms",
		Args:    cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			var err error
			if r.steps, err = parseRamp(steps); err != nil {
				return usagef("%w", err)
			}
			if r.Failures, err = parsePercent(failures); err != nil {
				return usagef("--max-failures: %w", err)
			}
			return a.releaseCommit(ctx, to, f, r)
		}),
	}
	c.Flags().StringVar(&steps, "ramp", "100", "`PERCENTS` of the users, one after the other; the last one is 100")
	c.Flags().DurationVar(&r.every, "every", 2*time.Minute, "time between two steps of the ramp")
	c.Flags().StringVar(&failures, "max-failures", "", "roll back when more than this `SHARE` of a new version's calls fail, such as 1%")
	c.Flags().DurationVar(&r.P99, "max-p99", 0, "roll back when more than 1% of a new version's calls take longer")
	c.Flags().Int64Var(&r.Calls, "min-calls", 50, "calls of a version since the step, to judge it by")
	return c
}

// parseRamp reads "10,50,100".
func parseRamp(text string) ([]int, error) {
	var steps []int
	for _, part := range strings.Split(text, ",") {
		p, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(part), "%"), 64)
		if err != nil || p <= 0 || p > 100 {
			return nil, fmt.Errorf("--ramp %s: %q is no percentage above 0 and up to 100", text, part)
		}
		steps = append(steps, int(p*rollout.Whole/100))
	}
	if !slices.IsSorted(steps) || len(slices.Compact(slices.Clone(steps))) < len(steps) || steps[len(steps)-1] != rollout.Whole || steps[0] == 0 {
		return nil, fmt.Errorf("--ramp %s: want growing percentages that end with 100, such as 10,50,100", text)
	}
	return steps, nil
}

// parsePercent reads "1%" or "0.5%"; "" is 0.
func parsePercent(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	p, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || p <= 0 || p > 100 {
		return 0, fmt.Errorf("%q is no percentage above 0", text)
	}
	return p / 100, nil
}

func (a *app) releaseCommit(ctx context.Context, to releases, f *releaseFlags, how ramp) error {
	s, r, err := openSession(ctx, to)
	if err != nil {
		return err
	}
	if r.State == rollout.Prepared || r.State == rollout.Ramping {
		if err := mayCommit(s, r); err != nil {
			return err
		}
	}
	how.steps = slices.DeleteFunc(how.steps, func(share int) bool { return share <= r.Share })
	changing := s.changingOver()
	if r.State == rollout.Switched && len(changing) > 0 {
		how.steps = []int{rollout.Whole}
	}
	if how.Failures == 0 && how.P99 == 0 {
		how.Guard = release.Guard{}
	}
	if err := a.confirm(f, commitPlan(r, how)...); err != nil {
		return err
	}
	for i, share := range how.steps {
		if r.State == rollout.Switched {
			a.note("going on with the change of %s", names(changing))
		} else {
			a.note("%s of the new requests are sent to %s", percent(share), versions(r, func(m rollout.Module) string { return m.New }))
		}
		if r, err = to.Commit(ctx, share, how.every, how.Guard); err != nil {
			return how.turned(r, interrupted(r, err))
		}
		if i < len(how.steps)-1 && how.Guard == (release.Guard{}) {
			if err := run.Sleep(ctx, how.every); err != nil {
				return fmt.Errorf("the release stays at %s: %w", percent(share), err)
			}
		}
	}
	return a.stepped(r, fmt.Sprintf("Release %s is committed: new requests meet %s.", r.Name, versions(r, func(m rollout.Module) string { return m.New })),
		backup(r),
		"Next: skerry release clean when you are content, or skerry release rollback")
}

// mayCommit refuses to send requests where nobody would answer.
func mayCommit(s siteState, r rollout.Release) error {
	for _, m := range r.Modules {
		if !m.Strategy.Exclusive() && len(s.up(m.Service, m.New)) == 0 {
			return problemf("commit release %s: no instance of %s/%s is up; start some, and see skerry ls %s", r.Name, m.Service, m.New, m.Service)
		}
	}
	return nil
}

func commitPlan(r rollout.Release, how ramp) []string {
	news := versions(r, func(m rollout.Module) string { return m.New })
	plan := []string{"send every new request to " + news + ", of all modules at once"}
	if len(how.steps) > 1 {
		var shares []string
		for _, s := range how.steps {
			shares = append(shares, percent(s))
		}
		plan = []string{fmt.Sprintf("send a growing share of the new requests to %s: %s, with %v between", news, strings.Join(shares, ", "), how.every)}
	}
	plan = append(plan, "leave requests that are under way with the versions they have begun with")
	if rest := concurrents(r); len(rest.Modules) > 0 {
		plan = append(plan, "keep the old versions as backup: "+versions(rest, func(m rollout.Module) string { return m.Old }))
	}
	for _, m := range exclusives(r).Modules {
		plan = append(plan, changePlan(m)...)
	}
	if how.Failures > 0 {
		plan = append(plan, fmt.Sprintf("roll back when more than %.4g%% of a new version's calls fail", how.Failures*100))
	}
	if how.P99 > 0 {
		plan = append(plan, fmt.Sprintf("roll back when more than 1%% of a new version's calls take longer than %v", how.P99))
	}
	return plan
}

// turned says what the guard has done.
func (how ramp) turned(r rollout.Release, err error) error {
	if !errors.Is(err, release.ErrGuard) {
		return err
	}
	return problemf("%w\nNew requests meet %s again.\nNext: skerry release clean", err, versions(r, func(m rollout.Module) string { return m.Old }))
}

func percent(share int) string { return fmt.Sprintf("%.4g%%", float64(share)*100/rollout.Whole) }
