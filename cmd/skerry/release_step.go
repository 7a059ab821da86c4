package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/rollout"
)

func (a *app) releaseStartCommand(f *releaseFlags) *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use:     "start --reason WHY",
		Short:   "Open a release; refused while another one is open",
		Example: `  skerry release start --by alice --reason "new token format"`,
		Args:    cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			if reason == "" {
				return usagef("say why: --reason WHY")
			}
			f.by = f.operator()
			return a.releaseStart(ctx, to, f, reason)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "`WHY`, for the audit trail")
	return c
}

func (a *app) releaseStart(ctx context.Context, to releases, f *releaseFlags, reason string) error {
	s, err := to.State(ctx)
	if err != nil {
		return err
	}
	if err := s.whole(); err != nil {
		return err
	}
	if r, open := s.session(); open {
		return problemf("%s; go on with it, or end it: %s", describe(r, time.Now()), nextStep(s, r))
	}
	plan := []string{"open a release by " + f.by + ": " + reason,
		"refuse every other release until this one is cleaned", "change nothing for any request"}
	if n := s.orphans(); n > 0 {
		plan = append(plan, fmt.Sprintf("keep no version together for calls that belong to no request: %d so far; "+
			"skerry release status names them", n))
	}
	for _, service := range s.unruled() {
		plan = append(plan, fmt.Sprintf("fix no version of %s, as %s run at once and no rule says which requests meet "+
			"which: a request may meet both; leave one running before you start",
			service, strings.Join(s.running(service), " and ")))
	}
	if err := a.confirm(f, plan...); err != nil {
		return err
	}
	r, err := to.Start(ctx, reason)
	if err != nil {
		return err
	}
	return a.stepped(r, "Release "+r.Name+" is open.", "Next: start the new versions beside the old ones, then: "+
		"skerry release ship MODULE --version VERSION")
}

// describe returns a release in half a sentence.
func describe(r rollout.Release, now time.Time) string {
	state := string(r.State)
	if r.State == rollout.Ramping {
		state += " at " + percent(r.Share)
	}
	return fmt.Sprintf("release %s of %s (%s) is open since %s, for %s; it is %s",
		r.Name, r.By, r.Reason, r.Opened.Local().Format(time.DateTime), age(now.Sub(r.Opened)), state)
}

// nextStep returns the next step for the operator.
func nextStep(s siteState, r rollout.Release) string {
	if changing := s.changingOver(); len(changing) > 0 {
		goOn, back := "commit", ", or rollback"
		if r.State == rollout.RollingBack {
			goOn, back = "rollback", ""
		}
		return fmt.Sprintf("skerry release %s: it goes on with the change of %s%s", goOn, names(changing), back)
	}
	switch r.State {
	case rollout.Prepared:
		if len(r.Modules) == 0 {
			return "skerry release ship, or skerry release rollback and clean"
		}
		return "skerry release commit, or rollback"
	case rollout.Ramping:
		return "skerry release commit --ramp … goes on, and watches; without such a command nothing is watched; or " +
			"rollback"
	case rollout.Switched:
		for _, m := range exclusives(r).Modules {
			if len(s.up(m.Service, m.New)) == 0 {
				return fmt.Sprintf("START %s %s, its calls wait for it; then skerry release clean, or rollback",
					m.Service, m.New)
			}
		}
		return "skerry release clean, or rollback"
	case rollout.Stopped:
		return "skerry release start"
	}
	return "skerry release clean"
}

func (a *app) releaseRollbackCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Send new requests to the old versions again, of all modules at once",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			s, r, err := stepSession(ctx, to)
			if err != nil {
				return err
			}
			log, err := s.log()
			if err != nil {
				return err
			}
			if _, _, err := r.Rollback(log, log.Next("", nil).Generation); err != nil && len(r.ChangingOver(log)) == 0 {
				return problemf("%w\nNext: %s", err, nextStep(s, r))
			}
			plan := []string{"send every new request to the old versions, of all modules at once: " +
				versions(r, func(m rollout.Module) string { return m.Old }),
				"leave requests that are under way with the versions they have begun with"}
			if len(r.Modules) == 0 {
				plan = []string{"give the release up; it has no modules, so requests go on as they do"}
			}
			if rest := concurrents(r); len(rest.Modules) > 0 {
				plan = append(plan, "keep the new versions running until skerry release clean")
			}
			for _, m := range r.Modules {
				if !m.Strategy.Exclusive() && len(s.up(m.Service, m.Old)) == 0 {
					plan = append(plan, fmt.Sprintf("BREAK %s: no instance of %s is up; start some first",
						m.Service, m.Old))
				}
			}
			for _, m := range exclusives(r).Modules {
				plan = append(plan, rollbackPlan(s, m))
			}
			if err := a.confirm(f, plan...); err != nil {
				return err
			}
			if r, err = to.Rollback(ctx); err != nil {
				return interrupted(r, err)
			}
			if len(r.Modules) == 0 {
				return a.stepped(r, "Release "+r.Name+
					" is given up. It had no modules: nothing has changed for requests.",
					"Next: skerry release clean")
			}
			return a.stepped(r, "Release "+r.Name+" is rolled back: new requests meet "+versions(r,
				func(m rollout.Module) string { return m.Old })+".", to.Policy(ctx).stays(),
				"Next: skerry release clean")
		}),
	}
}

// versions joins one version of every module.
func versions(r rollout.Release, of func(rollout.Module) string) string {
	var all []string
	for _, m := range r.Modules {
		all = append(all, m.Service+"/"+of(m))
	}
	return sortedOr(all, "no module")
}
