package releases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// exclusives returns the release with only those modules that may never run two versions
// at once. concurrents returns it with the others.
func exclusives(r rollout.Release) rollout.Release {
	r.Modules = slices.DeleteFunc(slices.Clone(r.Modules), func(m rollout.Module) bool {
		return !m.Strategy.Exclusive()
	})
	return r
}

func concurrents(r rollout.Release) rollout.Release {
	r.Modules = slices.DeleteFunc(slices.Clone(r.Modules), func(m rollout.Module) bool {
		return m.Strategy.Exclusive()
	})
	return r
}

// ChangingOver returns the modules with a new version that has not yet got its turn.
func (s Site) ChangingOver() []rollout.Module {
	log, err := s.Log()
	r, open := s.Newest()
	if err != nil || !open {
		return nil
	}
	return r.ChangingOver(log)
}

// names joins the services of modules.
func names(modules []rollout.Module) string {
	var all []string
	for _, m := range modules {
		all = append(all, m.Service)
	}
	return strings.Join(all, ", ")
}

// backup describes what a rollback would find.
func backup(r rollout.Release) string {
	old := func(m rollout.Module) string { return m.Old }
	var parts []string
	if rest := concurrents(r); len(rest.Modules) > 0 || len(r.Modules) == 0 {
		parts = append(parts, fmt.Sprintf("The old versions stay as backup: %s.", Versions(rest, old)))
	}
	if gone := exclusives(r); len(gone.Modules) > 0 {
		parts = append(parts, fmt.Sprintf("Stopped, and to be started again for a rollback: %s.", Versions(gone, old)))
	}
	return strings.Join(parts, " ")
}

// changePlan describes a commit of a module that may run one version only.
func changePlan(m rollout.Module) []string {
	var plan []string
	if m.Strategy == rollout.Waiting {
		then := "begin all the same"
		if m.GiveUp {
			then = "give up"
		}
		plan = append(plan, fmt.Sprintf("look for a moment in which no request needs %s/%s, for %s; then %s",
			m.Service, m.Old, number.Duration(m.Patience), then))
	}
	return append(plan, fmt.Sprintf("hold new calls to %s, up to their deadlines, until %s has stopped and %s is up",
		m.Service, m.Old, m.New),
		fmt.Sprintf("have %s/%s leave when no request needs it; then you, or the supervisor, start %s",
			m.Service, m.Old, m.New))
}

// rollbackPlan describes a rollback of such a module.
func rollbackPlan(s Site, m rollout.Module) string {
	log, err := s.Log()
	if err != nil {
		return "" // the step itself reports the error
	}
	if log.CheckTurn(m.Service, m.Old) == nil {
		return fmt.Sprintf("leave %s/%s running: it was not stopped yet", m.Service, m.Old)
	}
	return fmt.Sprintf("hold new calls to %s until %s has stopped, and you, or the supervisor, have started %s again",
		m.Service, m.New, m.Old)
}

// interrupted tells how to continue an interrupted change.
func interrupted(r rollout.Release, err error) error {
	if len(exclusives(r).Modules) == 0 ||
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch r.State {
	case rollout.Switched:
		return quote.Errorf("%w\nThe release stays where it is. Next: skerry release commit goes on, skerry release "+
			"rollback turns back", err)
	case rollout.RollingBack:
		return quote.Errorf("%w\nThe release stays where it is. Next: skerry release rollback goes on", err)
	}
	return err
}

// Changes returns a function that tells what a change over waits for, each thing once.
func (t Teller) Changes() func(operator.Progress) {
	said, drains := "", map[string][]rollout.Blocker{}
	return func(p operator.Progress) {
		if p.Step == "drain" {
			drains[p.Service] = p.Holders
		}
		if line := changeText(p, drains); line != "" && line != said {
			said = line
			t.Note("%s", line)
		}
	}
}

func changeText(p operator.Progress, drains map[string][]rollout.Blocker) string {
	runs, what := strings.Join(p.Runs, ", "), Title(p.Service, p.Version)
	switch {
	case p.Step == "moment":
		return fmt.Sprintf("%s: waiting for a moment in which no request needs it; now requests at %s do",
			p.Service, runs)
	case p.Step == "drain":
		return DrainText(holdersOf(drains, nil))
	case p.Step == "leave" && p.Note != "":
		return p.Note
	case p.Step == "leave":
		return fmt.Sprintf("STOP %s: %s runs it still, and was asked to leave; the next may not begin before (when it "+
			"is dead for certain: --dead HOST/PID)", what, runs)
	case p.Step == "begin" && runs == "":
		return fmt.Sprintf("START %s: calls wait for it", what)
	case p.Step == "begin":
		return fmt.Sprintf("%s: %s has the turn now; waiting until it is listed", what, runs)
	}
	return ""
}
