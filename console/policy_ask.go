package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/textdiff"
)

// policyAsk is a change of the policy that is prepared, and what it would have done with the calls of the last minutes.
// It is made when the operator answers.
type policyAsk struct {
	Do      string // undo, plan or confirm
	Number  uint64 // undo: of the policy that comes back
	Plan    string // plan
	On      bool   // plan: it is switched on
	Will    string
	Command string
	Fields  []fieldOf // of the form that was filled in
	Faults  []string  // for which it is refused
	Notes   []string
	Diff    []diffLine // of the text
	Left    int
	Back    uint64 // confirm: the policy that Impact is about, which comes back otherwise
	Impact  policychange.Impact
}

// trialLimit bounds what a question waits for the processes: the change does not depend on their answers.
const trialLimit = 5 * time.Second

// prepared is a change of the policy that a form asks for, and the command that does the same.
type prepared struct {
	policychange.Step
	Command string
}

// prepare reads what is to be done from a form. do is undo, plan or confirm.
func (c *handler) prepare(ctx context.Context, s *policychange.Site, do string, v url.Values) (p prepared, err error) {
	switch do {
	case "undo":
		n, err := strconv.ParseUint(strings.ReplaceAll(v.Get("number"), ",", ""), 10, 64)
		if err != nil || n == 0 {
			return p, refuse("policy.unknown", "number", short(v.Get("number"), 20))
		}
		p.Command = "skerry policy undo " + strconv.FormatUint(n, 10)
		p.Step, err = s.ToUndo(ctx, n, v.Get("reason"), c.listed)
		return p, notDone(err)
	case "confirm":
		p.Command = "skerry policy confirm"
		p.Step, err = s.ToConfirm("confirm", v.Get("reason"))
		return p, notDone(err)
	case "plan":
		to := policychange.Switch{Name: v.Get("plan"), On: v.Get("to") == "on", Why: v.Get("reason")}
		p.Command = "skerry policy plan off " + shellText(to.Name)
		if to.On {
			p.Command = "skerry policy plan on " + shellText(to.Name)
			if lasts := strings.TrimSpace(v.Get("for")); lasts != "" {
				d, err := time.ParseDuration(lasts)
				if err != nil || d < time.Second || d > policychange.PlanMost {
					return p, refuse("edit.time", "value", short(lasts, 40))
				}
				to.For = d
				p.Command += " --for " + lasts
			}
		}
		p.Step, err = s.ToSwitch(ctx, to, c.listed)
		return p, notDone(err)
	}
	return p, refuse("edit.no-step")
}

// askPolicy shows what a change would do, and what it would have done, and asks. It changes nothing.
func (c *handler) askPolicy(ctx context.Context, by actor, v url.Values) (outcome, error) {
	back := outcome{To: "/policy"}
	s, _, err := c.current(ctx, by, v)
	if err != nil {
		return back, err
	}
	v.Del("reason")
	p, err := c.prepare(ctx, s, v.Get("do"), v)
	if err != nil {
		return back, err
	}
	a := &policyAsk{Do: v.Get("do"), Number: p.Entry.Undoes, Plan: v.Get("plan"), On: v.Get("to") == "on", Will: p.Plan,
		Command: p.Command, Faults: p.Faults, Notes: p.Notes}
	for _, name := range []string{"hash", "plan", "to", "for"} {
		if v.Has(name) {
			a.Fields = append(a.Fields, fieldOf{name, v.Get(name)})
		}
	}
	a.Diff, a.Left = diffOf(textdiff.Unified(policychange.TextOf(s.Now), policychange.TextOf(p.Entry)))
	would := p.Entry
	if a.Do == "confirm" { // what holds already has done what it does
		would, _ = s.State.Log.Before(s.Now)
		a.Back = would.Number
	}
	a.Impact = impactOf(ctx, s, would)
	shown, err := c.site.snapshot(ctx).policyContent(&http.Request{URL: &url.URL{}})
	if err != nil {
		return back, err
	}
	shown.Ask = a
	return outcome{Page: "policy", Content: shown}, nil
}

// impactOf asks the processes what an entry would have done with their calls. Without their answers it is empty.
func impactOf(ctx context.Context, s *policychange.Site, e policylog.Entry) policychange.Impact {
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	tried, err := s.Try(ctx, policychange.TextOf(e), policychange.PlanNames(e))
	if err != nil {
		return policychange.Impact{}
	}
	return policychange.ImpactOf(tried)
}

// changing returns the action that makes a change: undo, plan or confirm.
func changing(do string) func(*handler, context.Context, actor, url.Values) (outcome, error) {
	return func(c *handler, ctx context.Context, by actor, v url.Values) (outcome, error) {
		back := outcome{To: "/policy"}
		s, signs, err := c.current(ctx, by, v)
		if err != nil {
			return back, err
		}
		p, err := c.prepare(ctx, s, do, v)
		if err != nil {
			return back, err
		}
		return c.step(ctx, s, p.Step, signs, p.Command+" --why "+shellText(v.Get("reason")))
	}
}
