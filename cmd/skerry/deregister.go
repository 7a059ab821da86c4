package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/drain"
)

func (a *app) deregisterCommand() *cobra.Command {
	var f drainFlags
	c := &cobra.Command{
		Use:   "deregister PROCESS|SERVICE[/VERSION]",
		Short: "Take a process or an instance off the lists for good",
		Long: `Of a process that is alive: it is told to leave, as at its end. Its instances
go off the lists, the calls that run are answered, others are refused
unexecuted. Its program goes on or ends, as it is written; nothing is listed
until it is started again, by its supervisor too. To keep calls away for a
while, use skerry drain.

Of a process that is dead: its entries are removed from the database, from the
lists of the LAN and from the members, for which releases wait. That takes
proof that it is dead: another process of its host says so. Where none can, as
the host is gone, say --dead; you vouch for it. Refused while it is alive and
can't be told to leave, as its heartbeats would bring it back: stop it there.

PROCESS is named as skerry members does, SERVICE with --at means the instance
there. The order is signed like a step of a release.`,
		Example: `  skerry deregister web-3/4711
  skerry deregister legacy --at 10.0.0.9:9090
  skerry deregister burnt-host/812 --dead --reason "host scrapped"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.deregister(cmd.Context(), args[0], f)
		},
		ValidArgsFunction: a.completeService,
	}
	f.register(c)
	c.Flags().BoolVar(&f.vouched, "dead", false,
		"vouch that the process is dead, where no process of its host can say so")
	c.Flags().BoolVar(&f.last, "last", false, "tell a living instance to leave although no other is left")
	return c
}

func (a *app) deregister(ctx context.Context, target string, f drainFlags) error {
	site, leave, err := a.openOrders(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	t, err := site.find(target, f.at)
	if err != nil {
		return err
	}
	if !t.whole && f.at == "" && len(t.processes) > 1 {
		return usagef("%s has instances of %d processes: name one by --at, or a process", target, len(t.processes))
	}
	living, silent := t, t
	living.processes, silent.processes = nil, nil
	why := map[string]error{}
	for _, p := range t.processes {
		if err := site.Answers(ctx, p); err != nil {
			silent.processes, why[p] = append(silent.processes, p), err
		} else {
			living.processes = append(living.processes, p)
		}
	}
	if len(living.processes) > 0 && !f.last {
		if err := site.others(living); err != nil {
			return err
		}
	}
	results := site.send(ctx, living, drain.Order{Verb: drain.Leave, Why: f.reason})
	for _, p := range silent.processes {
		results = append(results, site.remove(ctx, p, silent, why[p], f))
	}
	if err := a.printDrain(site.cluster, results); err != nil {
		return err
	}
	if len(living.processes) > 0 && !a.flags.json {
		a.item("", "A program that is started again, by its supervisor too, is listed again: stop it there.")
	}
	return nil
}

// remove takes a process off the lists that does not answer.
func (s *orderSite) remove(ctx context.Context, p string, t drainTarget, silent error, f drainFlags) drainResult {
	r := drainResult{Process: p, Instances: []string{}, State: "failed"}
	for _, e := range t.entries[p] {
		r.Instances = append(r.Instances, title(e.Service, e.Version)+" at "+e.Addr)
	}
	fate := s.Fate(ctx, p)
	switch {
	case fate == control.Runs:
		r.Why = fmt.Sprintf("it is alive, as a process of its host sees, and does not answer (%v): it would list "+
			"itself again; end it on its host", silent)
		return r
	case fate == control.Unknown && !f.vouched:
		r.Why = fmt.Sprintf("it does not answer (%v), and no process of its host can say whether it is dead; if it "+
			"is, say --dead", silent)
		return r
	}
	removed, err := s.Remove(ctx, p, fate == control.Ended, f.reason)
	switch {
	case errors.Is(err, drain.ErrAlive):
		r.Why = fmt.Sprintf("%v; it would list itself again: end it on its host", err)
	case err != nil:
		r.Why = err.Error()
	default:
		r.State = "removed"
		if len(removed.Refused) > 0 {
			r.State, r.Why = "failed", "off the lists, but not forgotten by "+strings.Join(removed.Refused, "; ")
		}
	}
	return r
}
