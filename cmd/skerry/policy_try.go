package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/policychange"
)

func (a *app) policyTryCommand(f *policyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "try FILE",
		Short: "What a text would have done in the last 5 minutes; changes nothing",
		Long: `Checks the text, compares it with the living instances and with the policy in force,
and says for what apply would refuse it. Then it asks every process what the text
would have done with the calls of the last 5 minutes, and sums the answers up. FILE
may be - for the standard input.

Only what differs from the policy in force is said. Counts are exact where items
match by service, method, version and caller; where they match by mark, baggage or
percent, they are estimated from sampled calls, with their standard error. Limits
of a rate are played second by second, as if calls came evenly within each second,
and as if no caller tried again. Retries, breakers, balancers and outliers are not
predicted, nor are calls of HTTP services behind a gateway.

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
	t, err := s.Trial(ctx, policychange.Draft{Text: text, Policy: p, Remarks: remarks}, made,
		a.look(ctx, s.Node, "").Instances)
	if err != nil {
		return policyFailure(err)
	}
	return a.printPolicyTried(t)
}

func (a *app) printPolicyTried(t policychange.Trial) error {
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
	a.printImpact(t.Impact, true)
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
