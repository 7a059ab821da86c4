package releases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Ramp holds the shares of a commit and the bounds that turn it back.
type Ramp struct {
	Shares []int // per ten thousand, growing; the last one is rollout.Whole
	Every  time.Duration
	operator.Bounds
}

// ParseRamp parses percentages such as "10,50,100".
func ParseRamp(text string) ([]int, error) {
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

// ParsePercent parses "1%" or "0.5%"; "" is 0.
func ParsePercent(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	p, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || p <= 0 || p > 100 {
		return 0, fmt.Errorf("%q is no percentage above 0", text)
	}
	return p / 100, nil
}

// mayCommit returns an error when the release does not allow a commit, or when no
// instance of a new version is up.
func mayCommit(s Site, r rollout.Release) error {
	log, err := s.Log()
	if err != nil {
		return err
	}
	if r.State == rollout.Switched {
		return nil // the commit is done, and may be watched again
	}
	if _, _, err := r.Commit(log, rollout.Whole, log.Next("", nil).Generation); err != nil {
		return problemf("%w\nNext: %s", err, NextStep(s, r))
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
func (s Site) keepsLog(r rollout.Release) error {
	gone := exclusives(r).Modules
	if !s.Spread || len(gone) == 0 {
		return nil
	}
	stays := func(k operator.MemberStatus) bool {
		runs := s.offers(k.Process)
		return k.Silent == "" && !slices.ContainsFunc(gone,
			func(m rollout.Module) bool { return slices.Contains(runs, Title(m.Service, m.Old)) })
	}
	if slices.ContainsFunc(s.Members, stays) {
		return nil
	}
	return problemf("commit release %s: without a database the processes keep the rule log, and all that run now "+
		"would stop: the release would be forgotten\n"+
		"Next: start a process that stays, such as one that calls %s, or skerry gateway", r.Name, names(gone))
}

func commitPlan(r rollout.Release, how Ramp, g operator.Guard) []string {
	news := Versions(r, func(m rollout.Module) string { return m.New })
	plan := []string{"send every new request to " + news + ", of all modules at once"}
	if len(how.Shares) > 1 {
		var shares []string
		for _, s := range how.Shares {
			shares = append(shares, Percent(s))
		}
		plan = []string{fmt.Sprintf("send a growing share of the new requests to %s: %s, with %s between",
			news, strings.Join(shares, ", "), number.Duration(how.Every))}
	}
	plan = append(plan, "leave requests that are under way with the versions they have begun with")
	if rest := concurrents(r); len(rest.Modules) > 0 {
		plan = append(plan, "keep the old versions as backup: "+Versions(rest,
			func(m rollout.Module) string { return m.Old }))
	}
	for _, m := range exclusives(r).Modules {
		plan = append(plan, changePlan(m)...)
	}
	if watch := guardPlan(g, r); len(watch) > 1 || len(how.Shares) > 1 {
		plan = append(plan, watch...)
	}
	return plan
}

// turned describes the release after a ramp that did not complete.
func turned(ctx context.Context, r rollout.Release, err error) error {
	olds := Versions(r, func(m rollout.Module) string { return m.Old })
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
			"on; or skerry release rollback", Percent(r.Share))
	case (errors.Is(err, operator.ErrFrozen) || errors.Is(err, operator.ErrSilent)) && r.Share > 0:
		return quote.Errorf("%w\nThe release stays at %s as far as is known, and no command watches it\nNext: skerry "+
			"release status, and the same command goes on", err, Percent(r.Share))
	case ctx.Err() != nil && r.State == rollout.Switched:
		return problemf("interrupted: the release is committed, and no command watches it\n" +
			"Next: skerry release clean when you are content, or skerry release rollback")
	}
	return err
}

// Percent returns a share, which is per ten thousand, as a percentage.
func Percent(share int) string { return number.Percent(float64(share)/rollout.Whole, 4) + "%" }

// PlanCommit plans to send new requests to the new versions, by a growing share or at once.
func PlanCommit(ctx context.Context, to Operations, t Teller, how Ramp) (Step, error) {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return Step{}, err
	}
	if err := mayCommit(s, r); err != nil {
		return Step{}, err
	}
	guard, err := guardOf(how.Bounds, r)
	if err != nil {
		return Step{}, usagef("%w", err)
	}
	how.Shares = slices.DeleteFunc(slices.Clone(how.Shares), func(share int) bool { return share < r.Share })
	copies, err := CopiesOf(ctx, to, r)
	if err != nil {
		return Step{}, err
	}
	plan := commitPlan(r, how, guard)
	for _, doubt := range copyDoubts(copies) {
		plan = append(plan, "note: "+doubt)
	}
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		return commit(ctx, to, t, s, r, how, guard)
	})
}

// commit makes the step of PlanCommit.
func commit(ctx context.Context, to Operations, t Teller, s Site, r rollout.Release, how Ramp,
	guard operator.Guard) (Result, error) {
	news := func(m rollout.Module) string { return m.New }
	said := r.Share
	send := func(share int) {
		if share > said {
			said = share
			t.Note("%s of the new requests are sent to %s", Percent(share), Versions(r, news))
		}
	}
	if changing := s.ChangingOver(); r.State == rollout.Switched && len(changing) > 0 {
		t.Note("going on with the change of %s", names(changing))
	}
	if len(how.Shares) == 1 {
		send(how.Shares[0])
	}
	next, err := to.Commit(ctx, how.Shares, how.Every, guard, func(p operator.Progress) {
		send(p.Share)
		t.ShowRamp(p)
	})
	if err != nil && next.Name == "" { // the log can't be read
		next = r
		next.Share = max(said, r.Share)
	}
	if err != nil {
		return Result{}, turned(ctx, next, err)
	}
	return did(next, fmt.Sprintf("Release %s is committed: new requests meet %s.", next.Name, Versions(next, news)),
		backup(next), "Next: skerry release clean when you are content, or skerry release rollback"), nil
}
