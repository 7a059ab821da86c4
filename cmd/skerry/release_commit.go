package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// ramp holds the steps of a commit and the bounds that turn it back.
type ramp struct {
	steps []int // per ten thousand, growing; the last one is rollout.Whole
	every time.Duration
	operator.Bounds
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
back. What both sides of a call count must keep the bounds, so that a version
that nobody can connect to fails, too. A module may declare bounds of its own,
in release.yaml or by skerry release config put: max_failures, max_p99,
min_calls, guard=off.

Where two versions of a module may never run at once (strategies blocking and
waiting), it goes on until the old one has stopped and the new one is up, and
says what is to be stopped and started; calls wait meanwhile. An interrupted
one stays where it is: commit again goes on, rollback turns back.

A version is called well after --min-calls calls in which nothing was crossed;
so many that one bad call is within the bounds. With fewer the ramp waits, up
to three times --every, and then stays where it is.

This command watches: when it ends early the share stays, and nobody watches.
The same command goes on; it watches the share that it finds anew.`,
		Example: "  skerry release commit\n" +
			"  skerry release commit --ramp 10,50,100 --every 2m --max-failures 1% --max-p99 200ms",
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			var err error
			if r.steps, err = parseRamp(steps); err != nil {
				return usagef("%w", err)
			}
			if r.Failures, err = parsePercent(failures); err != nil {
				return usagef("--max-failures: %w", err)
			}
			if r.P99 != 0 && r.P99 < time.Millisecond {
				return usagef("--max-p99 %v: want 1ms or more", r.P99)
			}
			return a.releaseCommit(ctx, to, f, r)
		}),
	}
	c.Flags().StringVar(&steps, "ramp", "100", "`PERCENTS` of the users, one after the other; the last one is 100")
	c.Flags().DurationVar(&r.every, "every", 2*time.Minute, "time between two steps of the ramp")
	spell(c, "every", r.every)
	c.Flags().StringVar(&failures, "max-failures", "",
		"roll back when more than this `SHARE` of a new version's calls fail, such as 1%")
	c.Flags().DurationVar(&r.P99, "max-p99", 0, "roll back when more than 1% of a new version's calls take longer")
	c.Flags().Int64Var(&r.Calls, "min-calls", 50, "`CALLS` of a version at a share, to call it well")
	return c
}

// parseRamp parses percentages such as "10,50,100".
func parseRamp(text string) ([]int, error) {
	var steps []int
	for _, part := range strings.Split(text, ",") {
		p, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(part), "%"), 64)
		if err != nil || p <= 0 || p > 100 {
			return nil, fmt.Errorf("--ramp %s: %q is no percentage above 0 and up to 100", text, part)
		}
		steps = append(steps, int(p*rollout.Whole/100))
	}
	if !slices.IsSorted(steps) || len(slices.Compact(slices.Clone(steps))) < len(steps) ||
		steps[len(steps)-1] != rollout.Whole || steps[0] == 0 {
		return nil, fmt.Errorf("--ramp %s: want growing percentages that end with 100, such as 10,50,100", text)
	}
	return steps, nil
}

// parsePercent parses "1%" or "0.5%"; "" is 0.
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
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return err
	}
	if err := mayCommit(s, r); err != nil {
		return err
	}
	guard, err := guardOf(how.Bounds, r)
	if err != nil {
		return usagef("%w", err)
	}
	how.steps = slices.DeleteFunc(how.steps, func(share int) bool { return share < r.Share })
	copies, err := copiesOf(ctx, to, r)
	if err != nil {
		return err
	}
	plan := commitPlan(r, how, guard)
	for _, doubt := range copyDoubts(copies) {
		plan = append(plan, "note: "+doubt)
	}
	if err := a.confirm(f, plan...); err != nil {
		return err
	}
	said := r.Share
	send := func(share int) {
		if share > said {
			said = share
			a.note("%s of the new requests are sent to %s", percent(share),
				versions(r, func(m rollout.Module) string { return m.New }))
		}
	}
	if changing := s.changingOver(); r.State == rollout.Switched && len(changing) > 0 {
		a.note("going on with the change of %s", names(changing))
	}
	if len(how.steps) == 1 {
		send(how.steps[0])
	}
	next, err := to.Commit(ctx, how.steps, how.every, guard, func(p operator.Progress) {
		send(p.Share)
		a.showRamp(p)
	})
	a.wipe()
	if err != nil && next.Name == "" { // the log can't be read
		next = r
		next.Share = max(said, r.Share)
	}
	if err != nil {
		return turned(ctx, next, err)
	}
	r = next
	return a.stepped(r, fmt.Sprintf("Release %s is committed: new requests meet %s.", r.Name,
		versions(r, func(m rollout.Module) string { return m.New })),
		backup(r),
		"Next: skerry release clean when you are content, or skerry release rollback")
}

// mayCommit returns an error when the release does not allow a commit, or when no
// instance of a new version is up.
func mayCommit(s siteState, r rollout.Release) error {
	log, err := s.log()
	if err != nil {
		return err
	}
	if r.State == rollout.Switched {
		return nil // the commit is done, and may be watched again
	}
	if _, _, err := r.Commit(log, rollout.Whole, log.Next("", nil).Generation); err != nil {
		return problemf("%w\nNext: %s", err, nextStep(s, r))
	}
	for _, m := range r.Modules {
		if !m.Strategy.Exclusive() && len(s.up(m.Service, m.New)) == 0 {
			return problemf("commit release %s: no instance of %s/%s is up; start some, and see skerry ls %s", r.Name,
				m.Service, m.New, m.Service)
		}
	}
	return s.keepsLog(r)
}

// keepsLog refuses a change over on a site without a database that would stop the last
// process with the log.
func (s siteState) keepsLog(r rollout.Release) error {
	gone := exclusives(r).Modules
	if !s.Spread || len(gone) == 0 {
		return nil
	}
	stays := func(k operator.MemberStatus) bool {
		runs := s.offers(k.Process)
		return k.Silent == "" && !slices.ContainsFunc(gone,
			func(m rollout.Module) bool { return slices.Contains(runs, title(m.Service, m.Old)) })
	}
	if slices.ContainsFunc(s.Members, stays) {
		return nil
	}
	return problemf("commit release %s: without a database the processes keep the log of releases, and all that run "+
		"now would stop: the release would be forgotten\n"+
		"Next: start a process that stays, such as one that calls %s, or skerry gateway", r.Name, names(gone))
}

func commitPlan(r rollout.Release, how ramp, g operator.Guard) []string {
	news := versions(r, func(m rollout.Module) string { return m.New })
	plan := []string{"send every new request to " + news + ", of all modules at once"}
	if len(how.steps) > 1 {
		var shares []string
		for _, s := range how.steps {
			shares = append(shares, percent(s))
		}
		plan = []string{fmt.Sprintf("send a growing share of the new requests to %s: %s, with %s between",
			news, strings.Join(shares, ", "), durationText(how.every))}
	}
	plan = append(plan, "leave requests that are under way with the versions they have begun with")
	if rest := concurrents(r); len(rest.Modules) > 0 {
		plan = append(plan, "keep the old versions as backup: "+versions(rest,
			func(m rollout.Module) string { return m.Old }))
	}
	for _, m := range exclusives(r).Modules {
		plan = append(plan, changePlan(m)...)
	}
	if watch := guardPlan(g, r); len(watch) > 1 || len(how.steps) > 1 {
		plan = append(plan, watch...)
	}
	return plan
}

// turned describes the release after a ramp that did not complete.
func turned(ctx context.Context, r rollout.Release, err error) error {
	olds := versions(r, func(m rollout.Module) string { return m.Old })
	switch {
	case errors.Is(err, operator.ErrGuard) && r.Back:
		return problemf("%w\nNew requests meet %s again.\nNext: skerry release clean", err, olds)
	case errors.Is(err, operator.ErrGuard):
		return problemf("%w\nNext: skerry release rollback, with --dead PROCESS for a process that is dead for certain",
			err)
	case errors.Is(err, operator.ErrUnjudged):
		return problemf("%w, and no command watches it\nNext: the same command when there are more calls, or with "+
			"fewer --min-calls; skerry release commit without bounds; or skerry release rollback", err)
	case len(exclusives(r).Modules) > 0:
		return interrupted(r, err)
	case ctx.Err() != nil && r.State == rollout.Ramping:
		return problemf("interrupted: the release stays at %s, and no command watches it\nNext: the same command goes "+
			"on; or skerry release rollback", percent(r.Share))
	case (errors.Is(err, operator.ErrFrozen) || errors.Is(err, operator.ErrSilent)) && r.Share > 0:
		return quote.Errorf("%w\nThe release stays at %s as far as is known, and no command watches it\nNext: skerry "+
			"release status, and the same command goes on", err, percent(r.Share))
	case ctx.Err() != nil && r.State == rollout.Switched:
		return problemf("interrupted: the release is committed, and no command watches it\n" +
			"Next: skerry release clean when you are content, or skerry release rollback")
	}
	return err
}

func percent(share int) string { return number.Percent(float64(share)/rollout.Whole, 4) + "%" }
