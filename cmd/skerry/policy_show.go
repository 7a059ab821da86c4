package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/cmd/skerry/internal/textdiff"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/words"
)

// policyChange is an entry of the log in the output of show and history.
type policyChange struct {
	Number   uint64       `json:"number"`
	Hash     string       `json:"hash"`
	At       time.Time    `json:"at,omitzero"`
	By       string       `json:"by,omitempty"`
	Signer   string       `json:"signer,omitempty"`     // "" when no trusted key has signed it
	Unsigned string       `json:"not_signed,omitempty"` // why
	Why      string       `json:"why,omitempty"`
	Origin   string       `json:"origin,omitempty"`
	Undoes   uint64       `json:"text_of,omitempty"` // number of the policy that came back
	Confirm  float64      `json:"confirm_s,omitempty"`
	Although []string     `json:"although,omitempty"`
	Plans    []policyPlan `json:"plans_on,omitempty"`
	Ended    []string     `json:"plans_off,omitempty"` // that were on in the entry before
	Keeps    uint64       `json:"confirms,omitempty"`  // number of the policy that it confirms
	Lost     bool         `json:"lost,omitempty"`      // to another one of the same number
	InForce  bool         `json:"in_force,omitempty"`  // now
}

// policyPlan is a plan that is switched on.
type policyPlan struct {
	Name  string  `json:"name"`
	For   float64 `json:"for_s,omitempty"` // 0: until it is switched off
	Since uint64  `json:"since"`           // number that switched it on
}

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
			e := s.now
			if len(args) == 1 {
				n, err := policyNumber(args[0])
				if err != nil {
					return err
				}
				if e, err = s.find(n); err != nil {
					return err
				}
			}
			if processes {
				return a.printPolicyProcesses(s.cluster, e, s.state.Processes)
			}
			if e.Number == 0 {
				return problemf("the site has no policy; skerry policy apply FILE makes one, of a text that begins " +
					"with policy: 1")
			}
			return a.printPolicy(s.change(e), e.Text)
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

// change describes an entry.
func (s *policySite) change(e policylog.Entry) policyChange {
	c := policyChange{Number: e.Number, Hash: e.Hash(), At: e.At, By: e.By, Why: e.Why, Origin: e.Origin,
		Undoes: e.Undoes, Confirm: e.Confirm.Seconds(), Although: e.Although, InForce: e.Hash() == s.now.Hash()}
	var err error
	if c.Signer, err = control.PolicySignerOf(s.node, e); err != nil {
		c.Unsigned = err.Error()
	}
	for _, on := range e.On {
		c.Plans = append(c.Plans, policyPlan{on.Name, on.For.Seconds(), on.Since})
	}
	before, known := s.state.Log.Find(e.Previous)
	if known && e.Origin == "confirm" {
		c.Keeps = before.Number
	}
	for _, was := range before.On {
		if !slices.ContainsFunc(e.On, func(on policylog.On) bool { return on.Name == was.Name }) {
			c.Ended = append(c.Ended, was.Name)
		}
	}
	for _, l := range s.state.Log.Lost() {
		c.Lost = c.Lost || l.Entry.Hash() == e.Hash()
	}
	return c
}

func (a *app) printPolicy(c policyChange, text string) error {
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
	list, obeyed := []policyProcess{}, 0
	var rows [][]string
	for _, p := range processes {
		said := obeys(p, e)
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
			list := []policyChange{}
			for _, e := range s.state.Log.Entries() {
				list = append(list, s.change(e))
			}
			return a.printHistory(s.cluster, list)
		},
	}
}

func (a *app) printHistory(cluster string, list []policyChange) error {
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
			a.lang.Format(orDash(c.Origin)), a.lang.Sentence(orDash(signer)), c.about(a.lang)})
	}
	a.printTable([]string{" NUMBER", "AT", "BY", "ORIGIN", "SIGNED BY", "WHY"}, rows)
	return nil
}

// about is what a person wants to know of a change beside its author.
func (c policyChange) about(l words.Language) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, l.Sprintf(format, args...)) }
	if c.Why != "" {
		parts = append(parts, c.Why)
	}
	if c.Lost {
		add("lost to another one at once")
	}
	if c.Undoes > 0 {
		add("text of %d", c.Undoes)
	}
	if c.Confirm > 0 {
		add("to be confirmed within %s", durationText(time.Duration(c.Confirm*float64(time.Second))))
	}
	if c.Keeps > 0 {
		add("confirms %d", c.Keeps)
	}
	for _, p := range c.Plans {
		add("plan %s on", p.Name)
	}
	for _, name := range c.Ended {
		add("plan %s off", name)
	}
	if len(c.Although) > 0 {
		add("although %s", strings.Join(c.Although, ", "))
	}
	return strings.Join(parts, "; ")
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
	two := []policylog.Entry{{}, s.now}
	for i, n := range numbers {
		if two[i], err = s.find(n); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		two[0], _ = s.state.Log.Before(s.now)
	}
	return a.printPolicyDiff(two[0].Number, two[1].Number, textdiff.Unified(textOf(two[0]), textOf(two[1])))
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
