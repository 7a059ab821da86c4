package main

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/policy/form"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Rules of the whole site for calls: time-outs, limits, access, routes",
		Long: `A policy is one text for the whole site, which processes obey while they run. Each
change is an entry of a log with a number, an author and a reason; it is signed by
an operator's key where the configuration names operators, else by the site's key.

  check      report mistakes in a text, without a site
  try        compare a text with the site, and change nothing
  apply      make a text the policy of the site
  confirm    keep what was applied with --confirm
  undo       bring the policy before it back
  plan       switch a prepared part of the policy on or off
  show       print the policy, and what each process obeys
  explain    say what the policy means for one call
  access     list the calls that access lists refuse, or would refuse
  history    list the changes
  diff       compare two of them`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var f policyFlags
	f.registerSigner(c, true)
	c.PersistentFlags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	c.AddCommand(a.policyShowCommand(&f), a.policyTryCommand(&f), a.policyApplyCommand(&f),
		a.policyConfirmCommand(&f), a.policyUndoCommand(&f),
		a.policyExplainCommand(&f), a.policyAccessCommand(&f),
		a.policyHistoryCommand(&f), a.policyDiffCommand(&f), a.policyPlanCommand(&f))
	c.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Report everything that is wrong with the text of a policy",
		Long: `Reports all mistakes at once, each with file, line and column: unknown keys with the
probable one, values that can't be, items that contradict each other or can never
apply, and what must expire and does not. A note is something that may be meant so.
It needs no running site. Exit code 1 when there is a mistake, 2 when the file can't
be read.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.checkPolicy(args[0]) },
	})
	return c
}

// policyProblem is a problem of a policy with its file.
type policyProblem struct {
	File string `json:"file"`
	form.Problem
}

func (a *app) checkPolicy(path string) error {
	text, err := statedir.ReadNamed(path, form.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("there is no file %s; skerry policy check takes the text of a policy, which begins with "+
			"policy: %s",
			path, form.Version)
	}
	if err != nil {
		return usagef("%w", err)
	}
	p, problems := form.Read(text)
	faults := len(slices.DeleteFunc(slices.Clone(problems), func(p form.Problem) bool { return p.Note }))
	if a.flags.json {
		list := []policyProblem{}
		for _, problem := range problems {
			list = append(list, policyProblem{path, problem})
		}
		if err := a.printJSON(map[string]any{"file": path, "problems": list}); err != nil {
			return err
		}
	} else {
		a.printPolicyProblems(path, problems)
	}
	if faults > 0 {
		return &exitError{exitProblem, nil}
	}
	if !a.flags.json {
		a.printf("%s: nothing is wrong with it; %s, %s and %s\n", path, count(len(p.Services), "service", "s"),
			count(len(p.Plans), "plan", "s"), count(p.Items(), "item", "s"))
	}
	return nil
}

// printPolicyProblems prints a line for each problem, as compilers do.
func (a *app) printPolicyProblems(path string, problems []form.Problem) {
	for _, p := range problems {
		kind := quote.Safe("")
		if p.Note {
			kind = quote.Safe(a.lang.Format("note: "))
		}
		if p.Line > 0 {
			a.printf("%s:%d:%d: %s", path, p.Line, p.Column, kind)
		} else {
			a.printf("%s: %s", path, kind)
		}
		if p.Key != "" {
			a.printf("%s: ", p.Key)
		}
		a.printf("%s\n", p.Text)
	}
}
