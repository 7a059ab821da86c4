package releases

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// guardKeys are the keys of settings by which a module declares its own bounds.
var guardKeys = []string{"max_failures", "max_p99", "min_calls", "guard"}

// boundsOf parses the bounds that a module declares.
func boundsOf(values map[string]string) (b operator.Bounds, err error) {
	if b.Failures, err = ParsePercent(values["max_failures"]); err != nil {
		return b, fmt.Errorf("max_failures: %w", err)
	}
	if text := values["max_p99"]; text != "" {
		if b.P99, err = time.ParseDuration(text); err != nil || b.P99 < time.Millisecond {
			return b, fmt.Errorf("max_p99=%s: want a time of 1ms or more, such as 200ms", text)
		}
	}
	if text := values["min_calls"]; text != "" {
		if b.Calls, err = strconv.ParseInt(text, 10, 64); err != nil || b.Calls < 1 {
			return b, fmt.Errorf("min_calls=%s: want a number of calls", text)
		}
	}
	switch values["guard"] {
	case "", "on":
	case "off":
		b.Off = true
	default:
		return b, fmt.Errorf("guard=%s: want on or off", values["guard"])
	}
	return b, nil
}

// guardOf returns the guard of a release: bounds for all modules, and those that modules
// declare.
func guardOf(all operator.Bounds, r rollout.Release) (operator.Guard, error) {
	g := operator.Guard{Bounds: all, Services: map[string]operator.Bounds{}}
	for _, m := range r.Modules {
		own, err := boundsOf(r.Settings[m.Service])
		if err != nil {
			return g, fmt.Errorf("settings of %s: %w", m.Service, err)
		}
		if own != (operator.Bounds{}) {
			g.Services[m.Service] = own
		}
	}
	return g, nil
}

// guardPlan describes what is watched and what is not.
func guardPlan(g operator.Guard, r rollout.Release) (plan []string) {
	var unwatched []string
	for _, m := range r.Modules {
		b, name := g.Of(m.Service), m.Service+"/"+m.New
		if !b.Watches() {
			unwatched = append(unwatched, name)
			continue
		}
		var when []string
		if b.Failures > 0 {
			when = append(when, fmt.Sprintf("more than %s of the calls of %s fail",
				number.Percent(b.Failures, 4)+" %", name))
		}
		if b.P99 > 0 {
			when = append(when, fmt.Sprintf("more than 1 %% of those of %s take longer than %s",
				name, number.Duration(b.P99)))
		}
		plan = append(plan, fmt.Sprintf("roll back when %s; %d calls are needed to call it well",
			strings.Join(when, ", or "), b.Least()))
	}
	switch {
	case len(plan) == 0:
		return []string{"watch nothing: no bound is declared (--max-failures, --max-p99)"}
	case len(unwatched) > 0:
		plan = append(plan, "not watch "+listOr(unwatched, ""))
	}
	return append(plan, "watch from here: when this command is ended, the share stays as it is, and no command watches")
}

// ShowRamp shows the progress of a ramp in a line that changes. It shows a line that
// stays when a share has had its time.
func (t Teller) ShowRamp(p operator.Progress) {
	if p.Step != "ramp" {
		return
	}
	share := Percent(p.Share)
	if p.Note != "" {
		t.Note("%s: %s", share, p.Note)
		return
	}
	var all []string
	for i := range p.Watched {
		all = append(all, verdict(&p.Watched[i]))
	}
	if p.Silent > 0 {
		all = append(all, number.Count(p.Silent, "process", "es")+" did not say what it counts")
	}
	switch text := strings.Join(all, "; "); {
	case p.Over && text != "":
		t.Note("%s for %s: %s", share, number.Age(p.Waiting), text)
	case p.Over:
	case p.Left > 0:
		t.Passing("%s, %s to go: %s", share, number.Age(p.Left), cmp.Or(text, "-"))
	default:
		t.Passing("%s, waiting for calls to judge by: %s", share, text)
	}
}

// verdict describes one new version by the side that has counted more calls.
func verdict(w *operator.Watched) string {
	t := &w.Callers
	if w.Callees.Calls > t.Calls {
		t = &w.Callees
	}
	text := fmt.Sprintf("%d calls, %d failed", t.Calls, max(w.Callers.Failures, w.Callees.Failures))
	if w.Bounds.P99 > 0 {
		text += fmt.Sprintf(", %d slower than %s", max(w.Callers.Slow, w.Callees.Slow), number.Duration(w.Bounds.P99))
	}
	if !w.Judged() {
		return fmt.Sprintf("%s/%s is not judged: %s, of %d needed", w.Service, w.Version, text, w.Bounds.Least())
	}
	return fmt.Sprintf("%s/%s is well: %s", w.Service, w.Version, text)
}

// BoundsOf returns the bounds that a module of a release declares; no bounds when they can't be read.
func BoundsOf(r rollout.Release, service string) operator.Bounds {
	b, err := boundsOf(r.Settings[service])
	if err != nil {
		return operator.Bounds{}
	}
	return b
}
