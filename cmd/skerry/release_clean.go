package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

func (a *app) releaseCleanCommand(f *releaseFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "clean",
		Short: "Wait until no request needs the outgoing versions, retire them, and end the release",
		Long: `Waits until no request that is under way can need the outgoing versions: the old
ones after a commit, the new ones after a rollback. Then these refuse every
call, leave the lists, and the release is over. Stop their processes then.

Plain Thrift and HTTP servers can't refuse: the site's processes call them no
more, while clients that go around skerry can, until you stop them. What skerry
announce lists is taken off by it.

Streams of the outgoing versions are told to move. Those that skerry.Follow has
opened are cut when they have not moved in rollout.stream_grace; others are waited
for, and holders counts them. --cut-streams ends these, too, as "moved".

A process that does not answer may be alive, and is waited for. When you know
that it is not, say so: --dead HOST/PID/EPOCH, as holders shows it. If it was
alive after all, its requests fail; none meets two versions.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			step, err := releases.PlanClean(ctx, to, a.teller())
			return a.step(ctx, f, step, err)
		}),
	}
	c.Flags().BoolVar(&f.cutStreams, "cut-streams", false, "end streams of the outgoing versions that have not moved")
	return c
}

func (a *app) releaseHoldersCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "holders",
		Short: "Show which processes hold back the outgoing versions, by what, and for how long",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			r, err := s.Open()
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

func (a *app) printHolders(r rollout.Release, list []releases.Holder, now time.Time) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"release": r.Name, "holders": list})
	}
	if r.Since == (rollout.Generation{}) {
		a.printf("Nothing goes yet: release %s is %s.\n", r.Name, r.State)
		return nil
	}
	if len(list) == 0 {
		a.printf("No process holds %s back.\n", releases.Versions(r, r.Outgoing))
		return nil
	}
	slices.SortFunc(list, func(x, y releases.Holder) int {
		return strings.Compare(x.Service+x.Process, y.Service+y.Process)
	})
	var rows [][]string
	for _, h := range list {
		since := "-"
		if h.Inflight != nil && h.Inflight.For > 0 {
			since = age(h.Inflight.For) // by the process's own clock
		} else if !h.Since.IsZero() {
			since = age(now.Sub(h.Since))
		}
		rows = append(rows, []string{h.Service, h.Process, h.Why, since, releases.HolderText(h)})
	}
	a.printTable([]string{"SERVICE", "PROCESS", "WHY", " FOR", "WHAT"}, rows)
	if slices.ContainsFunc(list, func(h releases.Holder) bool { return h.Silent() }) {
		a.item("", "A process that is silent may be alive, and is waited for; when it is dead for certain, "+
			"repeat the step with --dead PROCESS.")
	}
	return nil
}
