package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/rpc"
)

func (a *app) policyAccessCommand(f *policyFlags) *cobra.Command {
	suggests := false
	c := &cobra.Command{
		Use:   "access [SERVICE]",
		Short: "List the calls that access lists refuse, or would refuse",
		Long: `Lists which callers called which methods although the access list of the service
does not allow it: executed in the mode audit, refused in the mode enforce. The
counts are sums over all processes since their starts. PROOF says how the callee
knows the caller's name: by certificate, not at all (the caller says it), or by the
address alone. BY is the item of deny that refuses, and - the default.

--suggest prints items of access.allow for these calls instead, as text for the
policy. Each caller in it may call then, so read it before you apply it. What the
policy allows already is left out, as are calls that an item of deny refuses.

Exit code 1 when a process does not answer.`,
		Example: "  skerry policy access auth\n  skerry policy access auth --suggest",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.policyAccess(cmd.Context(), first(args), suggests, f)
		},
		ValidArgsFunction: a.completeService,
	}
	c.Flags().BoolVar(&suggests, "suggest", false, "print items of access.allow for these calls")
	return c
}

func (a *app) policyAccess(ctx context.Context, service string, suggests bool, f *policyFlags) error {
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	d, err := s.Denied(ctx)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	x := policychange.AccessedOf(s.Cluster, service, d)
	if suggests {
		table, err := s.Table()
		if err != nil {
			return err
		}
		x.Allow = policychange.AllowText(table, policychange.Title(s.Now), x.Calls)
	}
	return a.printPolicyAccess(x, service, suggests)
}

func (a *app) printPolicyAccess(x policychange.Accessed, service string, suggests bool) error {
	var failed error
	if len(x.Silent) > 0 {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if err := a.printJSON(x); err != nil {
			return err
		}
		return failed
	}
	switch {
	case suggests:
		a.printComments(x.Allow)
	case len(x.Calls) == 0:
		a.item("", "No access list has refused, or would have refused, a call of %s since the start of %s. Calls are "+
			"counted where the policy has access of the service; mode: audit, default: deny and an empty allow count "+
			"all of them.", orAll(service), count(x.Answered, "process", "es"))
	default:
		a.accessTable(x.Calls, time.Now())
	}
	if x.Others > 0 {
		a.note("%d calls of further kinds are not listed, as a process keeps %d kinds", x.Others, 1000)
	}
	for _, process := range slices.Sorted(maps.Keys(x.Silent)) {
		a.note("%s does not tell: %v", process, x.Silent[process])
	}
	return failed
}

func (a *app) accessTable(calls []rpc.DeniedCalls, now time.Time) {
	var rows [][]string
	for _, c := range calls {
		were := "executed"
		if c.Enforced {
			were = "refused"
		}
		rows = append(rows, []string{c.Service, c.Caller, a.lang.Format(proofText(c.Proof)), c.Method,
			strconv.FormatInt(c.Calls, 10), age(now.Sub(c.Last)), a.lang.Format(were), orDash(c.Item)})
	}
	a.printTable([]string{"SERVICE", "CALLER", "PROOF", "METHOD", " CALLS", " LAST", "WERE", "BY"}, rows)
}

// printComments prints a text of YAML, which has quoted what others chose, with its comments in the language.
func (a *app) printComments(text string) {
	for line := range strings.Lines(text) {
		if indent, comment, is := strings.Cut(line, "# "); is && strings.TrimSpace(indent) == "" {
			line = indent + "# " + a.lang.Sentence(strings.TrimSuffix(comment, "\n")) + "\n"
		}
		a.out.Write([]byte(line))
	}
}

// proofText says how a callee knows the name of a caller.
func proofText(proof string) string {
	if proof == "name" {
		return "none"
	}
	return proof
}
