package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

func (a *app) releaseCleanCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Wait until no request needs the outgoing versions, retire them, and end the release",
		Long: `Waits until no request that is under way can need the outgoing versions: the old
ones after a commit, the new ones after a rollback. Then these refuse every
call, leave the lists, and the release is over. Stop their processes then.

Plain Thrift and HTTP servers can't refuse: the site's processes call them no
more, while clients that go around skerry can, until you stop them. What skerry
announce lists is taken off by it.

A process that does not answer may be alive, and is waited for. When you know
that it is not, say so: --dead HOST/PID/EPOCH, as holders shows it. If it was
alive after all, its requests fail; none meets two versions.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			return a.releaseClean(ctx, to, f)
		}),
	}
}

func (a *app) releaseClean(ctx context.Context, to releases, f *releaseFlags) error {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return err
	}
	if _, err := r.Clean(); err != nil && r.State != rollout.Draining && r.State != rollout.Drained {
		return problemf("%w\nNext: %s", err, nextStep(s, r))
	}
	also := ""
	plan := []string{"wait until no request needs " + versions(r, r.Outgoing),
		"make these versions refuse every call: no rollback after that",
		"take them off the lists, and end the release"}
	if len(r.Modules) == 0 {
		plan = []string{"end the release; it has no modules, so no version goes"}
	}
	if foreign := s.foreign(r); len(foreign) > 0 {
		also = ", plain servers above all: they can't refuse"
		plan = append(plan, fmt.Sprintf("leave %s to you: no program of skerry, it can't refuse calls. "+
			"The site's processes call it no more; stop it, so that no other client does", strings.Join(foreign, ", ")))
	}
	if err := a.confirm(f, plan...); err != nil {
		return err
	}
	began, said := time.Now(), ""
	end, err := to.Clean(ctx, func(holders []holder, note string) {
		line := cmp.Or(note, progress(holders))
		if line != said {
			said = line
			a.note("%s", line)
		}
	})
	if ctx.Err() != nil && !end.Finished() {
		return problemf("interrupted: the release is not over (%w)\nNext: skerry release clean goes on, from any host",
			err)
	}
	if err != nil {
		return err
	}
	if len(end.Modules) == 0 {
		return a.stepped(end, fmt.Sprintf("Release %s is over. It had no modules: nothing has changed for requests.",
			end.Name))
	}
	return a.stepped(end,
		fmt.Sprintf("Release %s is over, after %s of cleaning. Retired: %s.", end.Name, age(time.Since(began)),
			versions(end, end.Outgoing)),
		"They refuse every call, and processes that offer nothing else have ended; stop those that have not"+also+".")
}

// foreign returns the instances of the outgoing versions that run servers without skerry.
func (s siteState) foreign(r rollout.Release) (out []string) {
	for _, in := range s.Instances {
		plain := in.Protocol != "" && in.Protocol != string(registry.ProtocolSkerry)
		if plain && slices.ContainsFunc(r.Modules,
			func(m rollout.Module) bool { return m.Service == in.Service && r.Outgoing(m) == in.Version }) {
			out = append(out, title(in.Service, in.Version)+" at "+in.Addr)
		}
	}
	return out
}

// progress returns one line about a drain.
func progress(holders []holder) string {
	if len(holders) == 0 {
		return "draining: no process holds it back"
	}
	var whos []string
	for _, h := range holders[:min(3, len(holders))] {
		whos = append(whos, h.Process+" "+holderText(h))
	}
	if more := len(holders) - 3; more > 0 {
		whos = append(whos, fmt.Sprintf("and %d more", more))
	}
	return "draining: " + strings.Join(whos, "; ")
}

// holderText describes how a process holds a version back.
func holderText(h holder) string {
	switch h.Why {
	case "silent":
		if h.Least == (rollout.Generation{}) {
			return "does not answer"
		}
		return fmt.Sprintf("does not answer; it went by generation %v last", h.Least)
	case "behind":
		return fmt.Sprintf("goes by generation %v still", h.Least)
	case "holding":
		return heldText(h)
	case "serving":
		return fmt.Sprintf("executes %s of %s", count(h.Calls, "call", "s"), h.Service)
	}
	return h.Why
}

// heldText describes the oldest work of a process that may still call a version. It gives
// the least age of the work and the path of calls to the version.
func heldText(h holder) string {
	if h.Inflight == nil {
		return fmt.Sprintf("has requests of generation %v that may call %s", h.Least, h.Service)
	}
	if h.Inflight.Live == 0 { // the work ended after the last question
		return fmt.Sprintf("had requests of generation %v until now, and is asked once more: %s", h.Least,
			strings.Join(h.Path, " → "))
	}
	old := ""
	if h.Inflight.For > 0 {
		old = ", of before " + age(h.Inflight.For) + " ago"
	}
	if h.Inflight.Outside {
		old += ", from outside the site (" + h.Inflight.From + "): they end by themselves, see rollout.outside_hold"
	}
	return fmt.Sprintf("has %s of generation %v%s: %s", count(h.Inflight.Live, "request", "s"), h.Least, old,
		strings.Join(h.Path, " → "))
}

func (a *app) releaseHoldersCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "holders",
		Short: "Show which processes hold back the outgoing versions, by what, and for how long",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			_, r, err := openSession(ctx, to)
			if err != nil {
				return err
			}
			list, err := to.Holders(ctx)
			if err != nil {
				return err
			}
			return a.printHolders(r, list, time.Now())
		}),
	}
}

func (a *app) printHolders(r rollout.Release, list []holder, now time.Time) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"release": r.Name, "holders": list})
	}
	if r.Since == (rollout.Generation{}) {
		a.printf("Nothing goes yet: release %s is %s.\n", r.Name, r.State)
		return nil
	}
	if len(list) == 0 {
		a.printf("No process holds %s back.\n", versions(r, r.Outgoing))
		return nil
	}
	slices.SortFunc(list, func(x, y holder) int { return strings.Compare(x.Service+x.Process, y.Service+y.Process) })
	var rows [][]string
	for _, h := range list {
		since := "-"
		if h.Inflight != nil && h.Inflight.For > 0 {
			since = age(h.Inflight.For) // by the process's own clock
		} else if !h.Since.IsZero() {
			since = age(now.Sub(h.Since))
		}
		rows = append(rows, []string{h.Service, h.Process, h.Why, since, holderText(h)})
	}
	a.printTable([]string{"SERVICE", "PROCESS", "WHY", " FOR", "WHAT"}, rows)
	if slices.ContainsFunc(list, func(h holder) bool { return h.Silent() }) {
		a.item("", "A process that is silent may be alive, and is waited for; when it is dead for certain, "+
			"repeat the step with --dead PROCESS.")
	}
	return nil
}
