package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
)

func (a *app) releaseValidateCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Compare what the releases say with what runs",
		Long: `Lists what is not as the log of releases says, and what mends it; and the routes and
weights of the site's policy that leave a new version without an instance. Exit code
1 when there is anything.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			list, err := releases.Differences(s)
			if err != nil {
				return err
			}
			p := to.Policy(ctx)
			r, open := s.Newest()
			list = append(list, p.LeavesWithout(r, s.Instances)...)
			if open {
				copies, err := releases.CopiesOf(ctx, to, r)
				if err != nil {
					return err
				}
				list = append(list, releases.CopyDifferences(copies)...)
			}
			return a.printDifferences(list, p)
		}),
	}
}

func (a *app) releaseRefreshCommand(f *releaseFlags) *cobra.Command {
	discard := false
	c := &cobra.Command{
		Use:   "refresh",
		Short: "Complete what was left half-way, bring processes up to date, and show what is left to be done",
		Long: `Completes a step whose command ended between its promise and its commit, and
brings every process up to date. Of two steps that block each other the one with
more promises is completed, and the other is given up. With --discard none is
completed, but for one that everybody has promised: it may be committed
already. All this is safe while other operators' commands run, too.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			return a.releaseRefresh(ctx, to, f, discard)
		}),
	}
	c.Flags().BoolVar(&discard, "discard", false, "give up what was left half-way, instead of completing it")
	return c
}

func (a *app) releaseRefresh(ctx context.Context, to releases.Operations, f *releaseFlags, discard bool) error {
	s, err := to.State(ctx)
	if err == nil && len(s.Branches) > 1 {
		err = s.Whole() // refresh can't complete the steps of several logs
	}
	if err != nil {
		return err
	}
	var plan []string
	for i, e := range s.Pending {
		verb := "complete"
		if discard || i > 0 {
			verb = "give up"
		}
		plan = append(plan, fmt.Sprintf("%s what %s left half-way: %s (generation %v)",
			verb, e.By, e.Step, e.Generation))
	}
	if len(plan) > 0 {
		if err := a.confirm(f, append(plan, "bring every process up to date")...); err != nil {
			return err
		}
	}
	unreached := to.Refresh(ctx, discard)
	if s, err = to.State(ctx); err != nil {
		return err
	}
	list, err := releases.Differences(s)
	if err != nil {
		return err
	}
	if unreached != nil && (len(list) == 0 || len(s.Pending) > 0) {
		return unreached
	}
	return a.printDifferences(list, releases.Policy{})
}

func (a *app) releaseAdoptCommand(f *releaseFlags) *cobra.Command {
	keep := ""
	c := &cobra.Command{
		Use:   "adopt [--keep HASH]",
		Short: "Go on after the log was restored from an older copy, or has forked",
		Long: `After a restore the database lacks steps that processes have carried out. adopt
writes them back, as the processes have them.

When two operators have released where neither saw the other (two primaries of
the database, two halves of a network), there are two logs, and calls between
processes of one and the other are refused. adopt --keep names the one that goes
on, by the beginning of its hash; the steps of the other end, and requests that
have begun by them are refused. A service that only the other log speaks of
keeps the version that was found first.

Either way a new timeline begins, so that no generation ever stands for two sets
of rules. status says when it is needed, and shows the logs.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			if err := a.confirm(f, releases.AdoptPlan(s, keep)...); err != nil {
				return err
			}
			if err := to.Adopt(ctx, keep); err != nil {
				return err
			}
			if s, err = to.State(ctx); err != nil {
				return err
			}
			r, _ := s.Newest()
			return a.stepped(r, "Adopted. Next: skerry release status")
		}),
	}
	c.Flags().StringVar(&keep, "keep", "", "beginning of the `HASH` of the log that goes on, or its generation")
	return c
}

func (a *app) releaseVouchCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "vouch",
		Short: "Take over the last steps of the log, when the key that has signed them is trusted no more",
		Long: `The steps of a log are obeyed up to the newest one that a key has signed which
is trusted now. When the key of the last step was removed from the operators'
file, processes that start anew stop before it. vouch adds an empty step under
your key, which closes the log behind the others. Look at them first: release
log --verify.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			var plan []string
			for i, e := range s.Trail {
				if s.Unvouched(i) {
					plan = append(plan, fmt.Sprintf("vouch for generation %v, %q by %s: %v", e.Generation, e.Step, e.By,
						s.Signers[i].Err))
				}
			}
			if err := a.confirm(f, append(plan, "add an empty step under your key")...); err != nil {
				return err
			}
			if err := to.Vouch(ctx); err != nil {
				return err
			}
			a.printf("Vouched. Next: skerry release log --verify\n")
			return nil
		}),
	}
}

// printDifferences prints what is not as it should be, and the policy in force where it matters.
func (a *app) printDifferences(list []releases.Difference, p releases.Policy) error {
	var found error
	if len(list) > 0 {
		found = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if list == nil {
			list = []releases.Difference{}
		}
		doc := map[string]any{"differences": list}
		if p.Number > 0 {
			doc["policy"] = p.Number
		}
		if err := a.printJSON(doc); err != nil {
			return err
		}
		return found
	}
	if found == nil {
		a.printf("Everything runs as the releases say.\n")
	}
	for _, d := range list {
		a.item("", "%s", d.What)
		a.item("  → ", "%s", d.Mend)
	}
	if p.Number > 0 {
		a.item("", "The site's policy is %s.", p.Title)
	}
	return found
}
