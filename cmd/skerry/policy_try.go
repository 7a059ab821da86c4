package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/cmd/skerry/internal/textdiff"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/policy"
)

// policyTried is what try says of a text.
type policyTried struct {
	Cluster  string          `json:"cluster"`
	On       uint64          `json:"made_on"` // number of the policy that it was compared with; 0: none
	Faults   []string        `json:"faults"`  // for which apply refuses it
	Notes    []string        `json:"notes"`
	Lines    []string        `json:"lines"` // of the difference
	Timeouts []policyTimeout `json:"timeouts"`
	Answered int             `json:"processes"`        // that have counted calls
	Silent   int             `json:"silent,omitempty"` // processes that did not answer
}

// policyTimeout is a time-out that the text would change.
type policyTimeout struct {
	Service string  `json:"service"`
	Timeout float64 `json:"timeout_ms"`
	Calls   int64   `json:"calls"`  // since the start of the processes that made them
	Slower  int64   `json:"slower"` // that took longer than the time-out
}

func (a *app) policyTryCommand(f *policyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "try FILE",
		Short: "Compare a text with the site, and change nothing",
		Long: `Checks the text, compares it with the living instances and with the policy in force,
and says for what apply would refuse it. Of each service that gets another time-out
it says how many calls took longer, by the counts of all processes since their start;
time-outs of single methods are not counted, as processes tell counts of services.
What limits and faults would do is not predicted. Access lists have the mode audit
for that. FILE may be - for the standard input.

Exit code 1 when apply would refuse the text.`,
		Example: "  skerry policy try site-policy.yaml",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.tryPolicy(cmd.Context(), args[0], f) },
	}
}

func (a *app) tryPolicy(ctx context.Context, path string, f *policyFlags) error {
	text, made, p, remarks, err := a.checkedPolicy(path)
	if err != nil {
		return err
	}
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	listed := a.look(ctx, s.node, "").Instances
	t := policyTried{Cluster: s.cluster, On: s.now.Number, Notes: append([]string{}, remarks...),
		Lines: append([]string{}, textdiff.Unified(textOf(s.now), text)...), Faults: []string{},
		Timeouts: []policyTimeout{}}
	faults, notes := judgePolicy(p, listed, s.state.Processes, func(string) bool { return false })
	then := s.compile(p, s.next(text, "", f).On)
	cut, warnings, err := s.cutsOff(ctx, then, listed, func(string) bool { return false })
	if err != nil {
		return err
	}
	t.Faults = append(append(t.Faults, faults...), cut...)
	t.Notes = append(append(t.Notes, notes...), warnings...)
	if newest, _ := s.state.Log.Newest(); made != nil && *made != newest.Number && *made != s.now.Number {
		t.Faults = append(t.Faults, "the text was made on another policy than "+policyTitle(newest)+", the newest")
	}
	var services []string
	for _, e := range listed {
		services = append(services, e.Service)
	}
	services = slices.AppendSeq(services, maps.Keys(p.Services))
	if err := s.countTimeouts(ctx, &t, p, text, services); err != nil {
		return err
	}
	return a.printPolicyTried(t)
}

// countTimeouts asks how many calls took longer than the time-outs that a policy would change.
func (s *policySite) countTimeouts(
	ctx context.Context, t *policyTried, p *policy.Policy, text string, services []string,
) error {
	now, err := s.table()
	if err != nil {
		return err
	}
	then := s.compile(p, s.next(text, "", &policyFlags{}).On)
	limits := map[string]time.Duration{}
	for _, service := range services {
		if d := timeoutOf(then, service); d >= time.Millisecond && d != timeoutOf(now, service) {
			limits[service] = d
		}
	}
	delete(limits, policy.Every)
	if len(limits) == 0 {
		return nil
	}
	counts, answered, silent, err := s.Overlong(ctx, limits)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	t.Answered, t.Silent = answered, silent
	for _, service := range slices.Sorted(maps.Keys(limits)) {
		t.Timeouts = append(t.Timeouts, policyTimeout{service, float64(limits[service]) / float64(time.Millisecond),
			counts[service].Calls, counts[service].Slower})
	}
	return nil
}

// timeoutOf is the time-out that a policy has for the calls of a service, 0 without one.
func timeoutOf(t *policy.Table, service string) time.Duration {
	r := t.Rules(service, "")
	if r == nil || r.Timeout == nil {
		return 0
	}
	return *r.Timeout
}

func (a *app) printPolicyTried(t policyTried) error {
	var failed error
	if len(t.Faults) > 0 {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if err := a.printJSON(t); err != nil {
			return err
		}
		return failed
	}
	for _, text := range t.Faults {
		a.item("PROBLEM  ", "%s", text)
	}
	for _, text := range t.Notes {
		a.item("", "%s", text)
	}
	for _, line := range t.Lines {
		a.out.Write([]byte(line + "\n")) // which quotes all but tabs
	}
	for _, c := range t.Timeouts {
		share := "none was counted"
		if c.Calls > 0 {
			share = number.Percent(float64(c.Slower)/float64(c.Calls), 2) + "%"
		}
		timeout := time.Duration(c.Timeout * float64(time.Millisecond))
		a.item("", "%s: time-out %s: %d of %s took longer (%s)", c.Service, durationText(timeout), c.Slower,
			count(int(c.Calls), "call", "s"), share)
	}
	if len(t.Timeouts) > 0 {
		a.item("", "Counted by %s since they began; %d did not answer.", count(t.Answered, "process", "es"), t.Silent)
	}
	switch {
	case failed != nil:
		a.item("", "skerry policy apply would refuse this text.")
	case len(t.Lines) == 0:
		a.item("", "This text is in force.")
	default:
		a.item("", "skerry policy apply would take this text.")
	}
	return failed
}
