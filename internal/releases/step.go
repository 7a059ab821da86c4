package releases

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
)

// Step is a step of a release that is planned and not begun.
type Step struct {
	Will []string // what it will do, each to be read after "This will"
	On   string   // hash of the log that it was planned on

	// Do makes the step. It may take minutes: the context ends it.
	Do func(context.Context) (Result, error)
}

// Result is what a step has led to.
type Result struct {
	Release rollout.Release
	Said    []string // sentences; the last one is the next step
}

// Teller hears from a step that takes long. Each function takes a format and its values.
type Teller struct {
	Note    func(format string, values ...any) // a line that stays
	Passing func(format string, values ...any) // a line that the next one replaces
}

// did is the result of a step.
func did(r rollout.Release, said ...string) Result {
	return Result{r, slices.DeleteFunc(said, func(s string) bool { return s == "" })}
}

// planned returns a step on a state.
func planned(s Site, will []string, do func(context.Context) (Result, error)) (Step, error) {
	log, err := s.Log()
	if err != nil {
		return Step{}, err
	}
	return Step{will, log.Hash(), do}, nil
}

// PlanStart plans to open a release by an operator.
func PlanStart(ctx context.Context, to Operations, by, reason string) (Step, error) {
	s, err := to.State(ctx)
	if err == nil {
		err = s.Whole()
	}
	if err != nil {
		return Step{}, err
	}
	if r, open := s.Newest(); open {
		return Step{}, problemf("%s; go on with it, or end it: %s", Describe(r, time.Now()), NextStep(s, r))
	}
	plan := []string{"open a release by " + by + ": " + reason,
		"refuse every other release until this one is cleaned", "change nothing for any request"}
	if n := s.orphans(); n > 0 {
		plan = append(plan, fmt.Sprintf("keep no version together for calls that belong to no request: %d so far; "+
			"skerry release status names them", n))
	}
	for _, service := range s.unruled() {
		plan = append(plan, fmt.Sprintf("fix no version of %s, as %s run at once and no rule says which requests meet "+
			"which: a request may meet both; leave one running before you start",
			service, strings.Join(s.Running(service), " and ")))
	}
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		r, err := to.Start(ctx, reason)
		if err != nil {
			return Result{}, err
		}
		return did(r, "Release "+r.Name+" is open.", "Next: start the new versions beside the old ones, then: "+
			"skerry release ship MODULE --version VERSION"), nil
	})
}

// PlanPut plans to keep settings of a module.
func PlanPut(ctx context.Context, to Operations, module string, values map[string]string) (Step, error) {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return Step{}, err
	}
	log, err := s.Log()
	if err != nil {
		return Step{}, err
	}
	if _, err := r.Put(module, values); err != nil {
		return Step{}, problemf("%w\nNext: %s", err, NextStep(s, r))
	}
	plan := putPlan(r, module, values, servicesOf(s, log), len(s.Running(module)) > 0)
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		r, err := to.Put(ctx, module, values)
		if err != nil {
			return Result{}, err
		}
		next := ""
		if r.Settings[module]["version"] != "" {
			next = "Next: skerry release ship " + module
		}
		return did(r, fmt.Sprintf("Release %s keeps, of %s: %s.", r.Name, module, settingsText(r.Settings[module])),
			next), nil
	})
}

// PlanRollback plans to send new requests to the old versions again.
func PlanRollback(ctx context.Context, to Operations, t Teller) (Step, error) {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return Step{}, err
	}
	log, err := s.Log()
	if err != nil {
		return Step{}, err
	}
	if _, _, err := r.Rollback(log, log.Next("", nil).Generation); err != nil && len(r.ChangingOver(log)) == 0 {
		return Step{}, problemf("%w\nNext: %s", err, NextStep(s, r))
	}
	old := func(m rollout.Module) string { return m.Old }
	plan := []string{"send every new request to the old versions, of all modules at once: " + Versions(r, old),
		"leave requests that are under way with the versions they have begun with"}
	if len(r.Modules) == 0 {
		plan = []string{"give the release up; it has no modules, so requests go on as they do"}
	}
	if rest := concurrents(r); len(rest.Modules) > 0 {
		plan = append(plan, "keep the new versions running until skerry release clean")
	}
	for _, m := range r.Modules {
		if !m.Strategy.Exclusive() && len(s.up(m.Service, m.Old)) == 0 {
			plan = append(plan, fmt.Sprintf("BREAK %s: no instance of %s is up; start some first", m.Service, m.Old))
		}
	}
	for _, m := range exclusives(r).Modules {
		plan = append(plan, rollbackPlan(s, m))
	}
	order, err := planMoves(ctx, to, "release "+r.Name+": rolled back", unshippedMoves(r, log)...)
	if err != nil {
		return Step{}, err
	}
	plan = append(plan, order.Will...)
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		r, err := to.Rollback(ctx)
		if err != nil {
			return Result{}, interrupted(r, err)
		}
		if err := order.give(ctx, t); err != nil {
			t.Note("%s\nskerry release clean does it again", Explain(err))
		}
		if len(r.Modules) == 0 {
			return did(r, "Release "+r.Name+" is given up. It had no modules: nothing has changed for requests.",
				"Next: skerry release clean"), nil
		}
		return did(r, "Release "+r.Name+" is rolled back: new requests meet "+Versions(r, old)+".",
			to.Policy(ctx).stays(), "Next: skerry release clean"), nil
	})
}

// PlanClean plans to wait until no request needs the outgoing versions, to retire them, and to end the release.
func PlanClean(ctx context.Context, to Operations, t Teller) (Step, error) {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return Step{}, err
	}
	if _, err := r.Clean(); err != nil && r.State != rollout.Draining && r.State != rollout.Drained {
		return Step{}, problemf("%w\nNext: %s", err, NextStep(s, r))
	}
	log, err := s.Log()
	if err != nil {
		return Step{}, err
	}
	also := ""
	plan := []string{"wait until no request needs " + Versions(r, r.Outgoing),
		"make these versions refuse every call: no rollback after that",
		"take them off the lists, and end the release"}
	if len(r.Modules) == 0 {
		plan = []string{"end the release; it has no modules, so no version goes"}
	}
	if foreign := s.foreign(r); len(foreign) > 0 {
		also = ", plain servers above all: they can't refuse"
		plan = append(plan, fmt.Sprintf("leave %s to you: no program of skerry, it can't refuse calls. "+
			"The site's processes call it no more; stop it, so that no other client does", strings.Join(foreign, ", ")))
	}
	order, err := planMoves(ctx, to, "release "+r.Name+": cleaned", stopMoves(r, log)...)
	if err != nil {
		return Step{}, err
	}
	plan = append(plan, order.Will...)
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		began, said := time.Now(), ""
		end, err := to.Clean(ctx, func(holders []Holder, note string) {
			line := cmp.Or(note, DrainText(holders))
			if line != said {
				said = line
				t.Note("%s", line)
			}
		})
		if ctx.Err() != nil && !end.Finished() {
			return Result{}, problemf("interrupted: the release is not over (%w)\nNext: skerry release clean goes on, "+
				"from any host", err)
		}
		if err != nil {
			return Result{}, err
		}
		if err := order.give(ctx, t); err != nil {
			t.Note("%s\nThe release is over. Take its outgoing versions out of the plan: skerry site apply",
				Explain(err))
		}
		if len(end.Modules) == 0 {
			return did(end, fmt.Sprintf("Release %s is over. It had no modules: nothing has changed for requests.",
				end.Name)), nil
		}
		over := "They refuse every call, and processes that offer nothing else have ended; stop those that have not" +
			also + "."
		if order.Do != nil {
			over = "They refuse every call, and the agents stop those that have not ended."
		}
		return did(end,
			fmt.Sprintf("Release %s is over, after %s of cleaning. Retired: %s.", end.Name,
				number.Age(time.Since(began)), Versions(end, end.Outgoing)),
			over), nil
	})
}
