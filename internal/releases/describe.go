package releases

import (
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
)

// Describe returns a release in half a sentence.
func Describe(r rollout.Release, now time.Time) string {
	state := string(r.State)
	if r.State == rollout.Ramping {
		state += " at " + Percent(r.Share)
	}
	return fmt.Sprintf("release %s of %s (%s) is open since %s, for %s; it is %s",
		r.Name, r.By, r.Reason, r.Opened.Local().Format(time.DateTime), number.Age(now.Sub(r.Opened)), state)
}

// NextStep returns the next step for the operator.
func NextStep(s Site, r rollout.Release) string {
	if changing := s.ChangingOver(); len(changing) > 0 {
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

// Versions joins one version of every module.
func Versions(r rollout.Release, of func(rollout.Module) string) string {
	var all []string
	for _, m := range r.Modules {
		all = append(all, m.Service+"/"+of(m))
	}
	return listOr(all, "no module")
}
