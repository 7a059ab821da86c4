package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/textdiff"
)

func (a *app) policyShowCommand(f *policyFlags) *cobra.Command {
	processes := false
	c := &cobra.Command{
		Use:   "show [NUMBER]",
		Short: "Print the policy of the site, or an older one",
		Long: `Prints the text of the policy in force, or of NUMBER, with a first line that says on
which policy it was made: edit it, and give it to skerry policy apply.

With --processes it prints which policy each process obeys instead, and why it is
not the one in force. Exit code 1 when there is no policy, or with --processes when
a process does not obey it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, leave, err := a.openPolicy(cmd.Context(), f)
			if err != nil {
				return err
			}
			defer leave()
			e := s.Now
			if len(args) == 1 {
				n, err := policyNumber(args[0])
				if err != nil {
					return err
				}
				if e, err = s.Find(n); err != nil {
					return err
				}
			}
			if processes {
				return a.printPolicyProcesses(s.Cluster, e, s.State.Processes)
			}
			if e.Number == 0 {
				return problemf("the site has no policy; skerry policy apply FILE makes one, of a text that begins " +
					"with policy: 1")
			}
			return a.printPolicy(s.Describe(e), e.Text)
		},
	}
	c.Flags().BoolVar(&processes, "processes", false, "print what each process obeys")
	return c
}

func policyNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("%s is no number of a policy; skerry policy history lists them", text)
	}
	return n, nil
}

func (a *app) printPolicy(c policychange.Change, text string) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"policy": c, "text": text})
	}
	a.printf("%s%d (%.8s) of %s\n", madeOn, c.Number, c.Hash, orDash(c.By))
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if err := a.out.Value(text); err != nil {
		return err
	}
	for _, on := range c.Plans {
		a.note("plan %s is on since policy %d", on.Name, on.Since)
	}
	return nil
}

func (a *app) printPolicyProcesses(cluster string, e policylog.Entry, processes []control.PolicyProcess) error {
	list, obeyed := []policychange.Process{}, 0
	var rows [][]string
	for _, p := range processes {
		said := policychange.Obeys(p, e)
		list = append(list, said)
		if said.Obeys {
			obeyed++
		}
		number := "-"
		if said.Number > 0 {
			number = strconv.FormatUint(said.Number, 10)
		}
		rows = append(rows, []string{said.Process, number, a.lang.Format(obeysText(said.Obeys)),
			a.lang.Sentence(said.Why)})
	}
	var failed error
	if obeyed < len(list) {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if err := a.printJSON(map[string]any{"cluster": cluster, "number": e.Number, "processes": list}); err != nil {
			return err
		}
		return failed
	}
	a.printTable([]string{"PROCESS", " POLICY", "OBEYS", "WHY"}, rows)
	return failed
}

func obeysText(obeys bool) string {
	if obeys {
		return "ok"
	}
	return "no"
}

func (a *app) policyHistoryCommand(f *policyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "List the changes of the policy, the newest first",
		Long: `Lists the changes that the site keeps, the newest first: number, time, author,
reason, where it came from, and the key that has signed it. The time is that of the
author's clock. "lost" stands at a change that was made at once with another one and
did not win.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, leave, err := a.openPolicy(cmd.Context(), f)
			if err != nil {
				return err
			}
			defer leave()
			list := []policychange.Change{}
			for _, e := range s.State.Log.Entries() {
				list = append(list, s.Describe(e))
			}
			return a.printHistory(s.Cluster, list)
		},
	}
}

func (a *app) printHistory(cluster string, list []policychange.Change) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"cluster": cluster, "policies": list})
	}
	if len(list) == 0 {
		a.printf("The site has had no policy.\n")
		return nil
	}
	var rows [][]string
	for _, c := range list {
		number := strconv.FormatUint(c.Number, 10)
		if c.InForce {
			number = "*" + number
		}
		signer := c.Signer
		if c.Unsigned != "" {
			signer = a.lang.Format("nothing valid")
		}
		rows = append(rows, []string{number, c.At.Local().Format("2006-01-02 15:04"), orDash(c.By),
			a.lang.Format(orDash(c.Origin)), a.lang.Sentence(orDash(signer)), c.About(a.lang)})
	}
	a.printTable([]string{" NUMBER", "AT", "BY", "ORIGIN", "SIGNED BY", "WHY"}, rows)
	return nil
}

func (a *app) policyDiffCommand(f *policyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "diff [NUMBER [NUMBER]]",
		Short: "Compare two policies",
		Long: `Prints what leads from the first to the second, line by line. With one number the
second is the policy in force; without any, the first is the one before it.`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.diffPolicies(cmd.Context(), args, f) },
	}
}

func (a *app) diffPolicies(ctx context.Context, args []string, f *policyFlags) error {
	var numbers []uint64
	for _, arg := range args {
		n, err := policyNumber(arg)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	two := []policylog.Entry{{}, s.Now}
	for i, n := range numbers {
		if two[i], err = s.Find(n); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		two[0], _ = s.State.Log.Before(s.Now)
	}
	lines := textdiff.Unified(policychange.TextOf(two[0]), policychange.TextOf(two[1]))
	return a.printPolicyDiff(two[0].Number, two[1].Number, lines)
}

func (a *app) printPolicyDiff(from, to uint64, lines []string) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"from": from, "to": to, "lines": append([]string{}, lines...)})
	}
	for _, line := range lines {
		fmt.Fprintln(a.out, line) // which quotes all but tabs
	}
	if len(lines) == 0 {
		a.note("policies %d and %d have the same text", from, to)
	}
	return nil
}
