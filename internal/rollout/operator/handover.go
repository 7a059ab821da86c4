package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// awaitMoment waits until no work needs the modules of the strategy Waiting,
// because a commit at such a moment delays new traces least. When the patience of
// the modules ends first, it returns ErrNoMoment if one of them has GiveUp set,
// and else nil. Safety does not depend on it.
func (c *Controller) awaitMoment(ctx context.Context, log *rollout.Log) error {
	r, _ := log.Session()
	var services []string
	var patience time.Duration
	giveUp := false
	for _, m := range r.Modules {
		if r.State == rollout.Prepared && m.Strategy == rollout.Waiting {
			services = append(services, m.Service)
			patience = max(patience, m.Patience)
			giveUp = giveUp || m.GiveUp
		}
	}
	for begun := time.Now(); len(services) > 0; {
		busy, err := c.needed(ctx, services)
		if err != nil || len(busy) == 0 {
			return err
		}
		slices.Sort(busy)
		waited, names := time.Since(begun), strings.Join(services, ", ")
		c.cfg.Progress(Progress{Step: "moment", Service: names, Runs: busy, Waiting: waited})
		if waited >= patience {
			if giveUp {
				return fmt.Errorf("%w of %v: %s may be called by requests at %s; commit again later, or with more "+
					"patience", ErrNoMoment, patience, names, strings.Join(busy, ", "))
			}
			return nil
		}
		if err := run.Sleep(ctx, min(momentEvery, patience-waited)); err != nil {
			return err
		}
	}
	return nil
}

// errChanged: another operator has taken a step that makes this one useless.
var errChanged = fmt.Errorf("%w: another operator has committed or rolled back meanwhile", rollout.ErrStep)

// momentEvery is the time between two polls for a moment.
const momentEvery = 20 * time.Millisecond

// needed returns the processes with live work that may call one of the
// services.
func (c *Controller) needed(ctx context.Context, services []string) (busy []string, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	var graph rollout.Graph
	all := c.reports(ctx, members)
	for _, r := range all {
		graph.Add(r)
	}
	for _, r := range all {
		if slices.ContainsFunc(r.Inflight, func(h rollout.Inflight) bool {
			return h.Live > 0 && slices.ContainsFunc(services, func(s string) bool {
				return graph.Path(r, h, s) != nil
			})
		}) {
			busy = append(busy, r.Process)
		}
	}
	return busy, nil
}

// handover changes the modules with an exclusive strategy over:
//  1. wait until no trace can need the version that has the turn,
//  2. take the turn back,
//  3. wait until every process that ran the version has stopped,
//  4. give the turn to the version that new traces wait for,
//  5. wait until that version is up.
//
// It continues where an earlier command stopped, and does nothing without such
// modules.
func (c *Controller) handover(ctx context.Context) error {
	for {
		log, entries, err := c.Log(ctx)
		if err != nil {
			return err
		}
		r, _ := log.Session()
		modules := r.ChangingOver(log)
		if len(modules) == 0 {
			return c.awaitTurns(ctx, log, r)
		}
		has := func(m rollout.Module) string { rule, _ := log.Rule(m.Service); return rule.Turn }
		if yield := slices.DeleteFunc(slices.Clone(modules),
			func(m rollout.Module) bool { return has(m) == "" }); len(yield) > 0 {
			if err = c.drain(ctx, drainsOf(yield, r.Since, has)); err == nil {
				err = c.revokeTurn(ctx, r.Since, yield, has)
			}
		} else if err = c.awaitStopped(ctx, log, entries, modules); err == nil {
			err = c.step(ctx, "pass the turn to "+names(modules, func(m rollout.Module) string {
				rule, _ := log.Rule(m.Service)
				return rule.Version
			}),
				func(log *rollout.Log, now rollout.Release, _ rollout.Generation) (change, error) {
					if now.Since != r.Since {
						return change{}, errChanged
					}
					next, rules, err := now.GrantTurn(log)
					return change{session: next, rules: rules}, err
				})
		}
		if err != nil {
			return err
		}
	}
}

// revokeTurn takes the turn back, and records which processes ran the versions.
func (c *Controller) revokeTurn(ctx context.Context, since rollout.Generation, modules []rollout.Module,
	has func(rollout.Module) string) error {
	owners := map[string][]rollout.Owner{}
	status := c.poll(ctx)
	for _, m := range modules {
		for _, p := range status.Members {
			if slices.Contains(p.Runs, m.Service+"/"+has(m)) {
				owners[m.Service] = append(owners[m.Service], rollout.Owner{Process: p.Process, Place: p.Place})
			}
		}
	}
	return c.step(ctx, "take the turn back from "+names(modules, has),
		func(log *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
			if r.Since != since {
				return change{}, errChanged
			}
			next, rules, retire, err := r.RevokeTurn(log, owners)
			return change{session: next, rules: rules, retire: retire}, err
		})
}

// awaitStopped waits until every process has applied the rules without a turn,
// and every process that ran a yielded version has stopped it.
func (c *Controller) awaitStopped(ctx context.Context, log *rollout.Log, entries []rollout.Entry,
	modules []rollout.Module) error {
	for begun := time.Now(); ; {
		mute := silentError(ctx, c.cfg.Site, c.sendLog(ctx, entries))
		free := mute == nil
		status := c.poll(ctx)
		for _, m := range modules {
			rule, _ := log.Rule(m.Service)
			if m.Yielded == rule.Version {
				continue // the version gets its own turn back
			}
			runs := c.stillRun(ctx, status, m)
			free = free && len(runs) == 0
			if len(runs) > 0 {
				c.askProcessesToLeave(ctx, m, runs)
				c.cfg.Progress(Progress{Step: "leave", Service: m.Service, Version: m.Yielded, Runs: runs,
					Waiting: time.Since(begun)})
			}
		}
		if free {
			return nil
		}
		if mute != nil {
			c.cfg.Progress(Progress{Step: "leave", Waiting: time.Since(begun), Note: mute.Error()})
		}
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return fmt.Errorf("wait until every process has stopped the version that had the turn: %w", err)
		}
	}
}

// stillRun returns the processes that may still run a module's yielded version:
// those that report it, and earlier owners that neither report nor are known to
// have ended.
func (c *Controller) stillRun(ctx context.Context, status Status, m rollout.Module) (out []string) {
	said := map[string]bool{}
	for _, p := range status.Members {
		if p.Silent != "" {
			continue
		}
		said[p.Process] = true
		if slices.Contains(p.Runs, m.Service+"/"+m.Yielded) {
			out = append(out, p.Process)
		}
	}
	for _, o := range m.Owners {
		if !said[o.Process] && !vouched(o.Process, c.cfg.Without) && !c.cfg.Site.Ended(ctx, o.Process, o.Place) {
			out = append(out, o.Process)
		}
	}
	return out
}

// askProcessesToLeave asks processes to end their instances of the yielded
// version.
func (c *Controller) askProcessesToLeave(ctx context.Context, m rollout.Module, processes []string) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return // the next poll reports it
	}
	members = slices.DeleteFunc(slices.Clone(members), func(o Member) bool {
		return !slices.Contains(processes, o.Process)
	})
	ask(ctx, members, func(ctx context.Context, o Member) error {
		_, err := o.Peer.Leave(ctx, m.Service, m.Yielded)
		return err
	})
}

// awaitTurns waits until the versions that got their turn are up.
func (c *Controller) awaitTurns(ctx context.Context, log *rollout.Log, r rollout.Release) error {
	if r.State != rollout.Switched && r.State != rollout.RollingBack {
		return nil
	}
	for _, m := range r.Modules {
		rule, _ := log.Rule(m.Service)
		for begun := time.Now(); m.Strategy.Exclusive(); {
			missing := c.checkUp(ctx, m.Service, rule.Turn)
			if missing == nil {
				break
			}
			p := Progress{Step: "begin", Service: m.Service, Version: rule.Turn, Waiting: time.Since(begun)}
			for _, o := range c.poll(ctx).Members {
				if slices.Contains(o.Runs, m.Service+"/"+rule.Turn) ||
					slices.Contains(o.Waits, m.Service+"/"+rule.Turn) {
					p.Runs = append(p.Runs, o.Process)
				}
			}
			c.cfg.Progress(p)
			if err := run.Sleep(ctx, min(c.cfg.Pause, beginEvery)); err != nil {
				return fmt.Errorf("requests wait for %s %s: start it, or roll back: %w: %w",
					m.Service, rule.Turn, missing, err)
			}
		}
	}
	return nil
}

// beginEvery is the time between two polls for a version that requests wait
// for.
const beginEvery = 100 * time.Millisecond

// names returns a text with one version of each module.
func names(modules []rollout.Module, of func(rollout.Module) string) string {
	var out []string
	for _, m := range modules {
		out = append(out, m.Service+" "+of(m))
	}
	return strings.Join(out, ", ")
}
