package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// difference is a contradiction between the log and the site, with its remedy.
type difference struct {
	What string `json:"what"`
	Mend string `json:"mend"`
	Self bool   `json:"refresh"` // refresh mends it
}

func (a *app) releaseValidateCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Compare what the releases say with what runs",
		Long: `Lists what is not as the log of releases says, and what mends it; and the routes and
weights of the site's policy that leave a new version without an instance. Exit code
1 when there is anything.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			list, err := differences(s)
			if err != nil {
				return err
			}
			p := to.Policy(ctx)
			r, open := s.session()
			list = append(list, p.leavesWithout(r, s.Instances)...)
			if open {
				copies, err := copiesOf(ctx, to, r)
				if err != nil {
					return err
				}
				list = append(list, copyDifferences(copies)...)
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
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			return a.releaseRefresh(ctx, to, f, discard)
		}),
	}
	c.Flags().BoolVar(&discard, "discard", false, "give up what was left half-way, instead of completing it")
	return c
}

func (a *app) releaseRefresh(ctx context.Context, to releases, f *releaseFlags, discard bool) error {
	s, err := to.State(ctx)
	if err == nil && len(s.Branches) > 1 {
		err = s.whole() // refresh can't complete the steps of several logs
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
	list, err := differences(s)
	if err != nil {
		return err
	}
	if unreached != nil && (len(list) == 0 || len(s.Pending) > 0) {
		return unreached
	}
	return a.printDifferences(list, policyInForce{})
}

func (a *app) releaseAdoptCommand(f *releaseFlags) *cobra.Command {
	keep := ""
	c := &cobra.Command{
		Use:   "adopt [--keep HASH]",
		Short: "Go on after the log was restored from an older copy, or has parted",
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
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			if err := a.confirm(f, adoptPlan(s, keep)...); err != nil {
				return err
			}
			if err := to.Adopt(ctx, keep); err != nil {
				return err
			}
			if s, err = to.State(ctx); err != nil {
				return err
			}
			r, _ := s.session()
			return a.stepped(r, "Adopted. Next: skerry release status")
		}),
	}
	c.Flags().StringVar(&keep, "keep", "", "beginning of the `HASH` of the log that goes on, or its generation")
	return c
}

// adoptPlan describes what adopt will do.
func adoptPlan(s siteState, keep string) []string {
	plan := []string{"begin a new timeline of generations"}
	if len(s.Branches) < 2 {
		return append([]string{"write the steps back that the processes have carried out and the database lacks"},
			plan...)
	}
	for _, l := range s.Branches {
		verb := "end the log "
		if keep != "" && (strings.HasPrefix(l.Tip.Hash, keep) || l.Tip.Generation.String() == keep) {
			verb = "go on with the log "
		}
		plan = append(plan, verb+lineText(l))
	}
	return append(plan, "refuse what remains of requests that have begun by a log that ends")
}

// lineText describes a log of the site in a few words.
func lineText(l operator.Branch) string {
	text := l.Tip.String()
	if n := len(l.Entries); n > 0 {
		text += fmt.Sprintf(", last step %q by %s", l.Entries[n-1].Step, l.Entries[n-1].By)
	}
	text += fmt.Sprintf(", of %d processes", len(l.Members))
	if l.Stored {
		text += " and the database"
	}
	return text
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
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			var plan []string
			for i, e := range s.Trail {
				if s.unvouched(i) {
					plan = append(plan, fmt.Sprintf("vouch for generation %v, %q by %s: %v", e.Generation, e.Step, e.By,
						s.Signers[i].err))
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

// unvouched reports whether neither an entry nor any later one is signed by a trusted key.
func (s siteState) unvouched(i int) bool {
	for ; i < len(s.Signers); i++ {
		if s.Signers[i].err == nil {
			return false
		}
	}
	return true
}

// printDifferences prints what is not as it should be, and the policy in force where it matters.
func (a *app) printDifferences(list []difference, p policyInForce) error {
	var found error
	if len(list) > 0 {
		found = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if list == nil {
			list = []difference{}
		}
		doc := map[string]any{"differences": list}
		if p.number > 0 {
			doc["policy"] = p.number
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
	if p.number > 0 {
		a.item("", "The site's policy is %s.", p.title)
	}
	return found
}

// differences compares the log with the state of the site.
func differences(s siteState) ([]difference, error) {
	log, err := s.log()
	if err != nil {
		return nil, err
	}
	var list []difference
	add := func(self bool, mend, format string, args ...any) {
		list = append(list, difference{fmt.Sprintf(format, args...), mend, self})
	}
	switch {
	case s.restored():
		add(false, s.adopting(), "nothing can be committed: %s", s.Frozen)
		for _, l := range s.Branches {
			add(false, "skerry release adopt --keep "+l.Tip.Hash[:12]+" goes on with it",
				"the log has parted; one is %s", lineText(l))
		}
	case s.tooOld():
		add(false, "upgrade skerry on this host", "nothing can be committed from here: %s", s.Frozen)
	case s.Frozen != "":
		add(false, "bring it back; until then requests go on and releases wait",
			"nothing can be committed: %s", s.Frozen)
	}
	r, open := s.session()
	if !open {
		r = rollout.Release{}
	}
	for _, service := range servicesOf(s, log) {
		for _, v := range versionsOf(s, log, r, service) {
			name := title(v.Service, v.Version)
			switch {
			case v.Instances == 0 && (v.Role == "live" || v.Role == "new" || v.Role == "preview"):
				add(false, "start instances of it", "%s is %s, and no instance of it is up", name, v.Role)
			case v.Instances == 0 && v.Role == "backup":
				add(false, "start instances of it, or clean: skerry release clean",
					"%s is the backup, and no instance of it is up: a rollback would fail", name)
			case v.Instances > 0 && v.Role == "retired":
				add(false, "stop these processes", "%s is retired, and %s listed: they refuse every call", name,
					countAre(v.Instances))
			case v.Instances > 0 && v.Role == "any":
				add(false, "leave one version running, or release the other: skerry release start",
					"%s runs beside other versions and no rule says which requests meet which: a request may meet both",
					name)
			case v.Instances > 0 && v.Role == "unshipped":
				add(false, "skerry release ship "+v.Service+" --version "+v.Version+", or stop these processes",
					"%s is not shipped, and %s listed: they get no calls", name, countAre(v.Instances))
			case v.Instances > 0 && v.Role == "unreleased":
				add(false, "ship it in a release, or stop these processes",
					"%s is in no release, and %s listed: they get no calls", name, countAre(v.Instances))
			}
		}
	}
	for _, e := range s.Pending {
		add(true, "skerry release refresh, or refresh --discard to give it up",
			"generation %v (%s, by %s) was promised and is not committed: its command runs, or was cut off",
			e.Generation, e.Step, e.By)
	}
	for _, p := range s.processes() {
		switch s.stateOf(p, log) {
		case "too old":
			add(false, "upgrade skerry there, and start it again",
				"%s goes by generation %v and can't obey the next one, which needs %q", p.Name, p.Applied, p.Lacks)
		case "behind":
			add(true, "skerry release refresh", "%s goes by generation %v, the newest is %v",
				p.Name, p.Applied, log.Last())
		case "forked":
			mend := "stop it, remove its state directory, and start it again"
			if s.restored() { // the log of this process may be the one to keep
				mend = s.adopting()
			}
			add(false, mend, "%s goes by rules that contradict the log", p.Name)
		case "silent":
			why := ""
			if p.Why != "" {
				why = " (" + p.Why + ")"
			}
			add(false, "bring it back; when it is dead for certain, give the step that waits for it --dead "+p.Name,
				"%s has not answered%s%s", p.Name, silence(p.Silent), why)
		}
	}
	return list, nil
}

func countAre(n int) string {
	if n == 1 {
		return "1 instance is"
	}
	return fmt.Sprintf("%d instances are", n)
}
