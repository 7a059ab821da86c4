package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// Clean waits until no trace can need the outgoing versions. Then it makes them
// refuse calls, asks their instances to leave, and ends the release. It
// continues where an earlier command stopped, and beside a command of another
// operator that does the same. When ctx ends first, the completed steps stay.
func (c *Controller) Clean(ctx context.Context) error {
	release := ""
	for {
		log, entries, err := c.Log(ctx)
		if err != nil {
			return err
		}
		r, _ := log.Session()
		if release != "" && (r.Name != release || r.Finished()) {
			return nil // the other operator's command has ended it
		}
		release = r.Name
		switch r.State {
		case rollout.Draining:
			if err = c.drain(ctx, drainsOf(r.Modules, r.Since, r.Outgoing)); err == nil {
				err = c.step(ctx, "retire the outgoing versions",
					func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
						next, retire, err := r.Retire()
						return change{session: next, retire: retire}, err
					})
			}
		case rollout.Drained:
			if err = c.stop(ctx, log, entries, r); err == nil {
				err = c.step(ctx, "stop",
					func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
						next, err := r.Stop()
						return change{session: next}, err
					})
				if err == nil {
					return nil
				}
			}
		default:
			if err = c.handover(ctx); err != nil {
				return err
			}
			err = c.step(ctx, "clean", func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
				next, err := r.Clean()
				return change{session: next}, err
			})
		}
		if err != nil && !c.overtaken(ctx, r, err) {
			return err
		}
	}
}

// overtaken reports whether a step of a release failed because another operator's
// command has done it.
func (c *Controller) overtaken(ctx context.Context, r rollout.Release, why error) bool {
	if !errors.Is(why, rollout.ErrStep) && !errors.Is(why, rollout.ErrFork) && !errors.Is(why, rollout.ErrGap) {
		return false
	}
	log, _, err := c.Log(ctx)
	if err != nil {
		return false
	}
	now, _ := log.Session()
	return now.Name != r.Name || now.State != r.State
}

// drainsOf returns a drain of one version of each module.
func drainsOf(modules []rollout.Module, since rollout.Generation,
	goes func(rollout.Module) string) (drains []*rollout.Drain) {
	for _, m := range modules {
		drains = append(drains, &rollout.Drain{Service: m.Service, Old: goes(m), Since: since})
	}
	return drains
}

// drain runs rounds until no process can need an outgoing version.
func (c *Controller) drain(ctx context.Context, drains []*rollout.Drain) error {
	if len(drains) == 0 {
		return nil
	}
	begun, round := time.Now(), uint64(0)
	members := c.poll(ctx).Members
	round = lastRound(members)
	for _, m := range members {
		for _, d := range drains {
			if m.Silent == "" && m.Round <= round {
				d.Preload(m.report)
			}
		}
	}
	for {
		round++
		asked := time.Now()
		done, err := c.round(ctx, &round, drains, begun)
		if err != nil || done {
			return err
		}
		if time.Since(asked) > c.cfg.Pause || !slices.ContainsFunc(drains, isHeld) {
			continue // the round itself has taken long, or the next one may be the last
		}
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return waited("drain", holding(drains), err)
		}
	}
}

// lastRound returns the number of the newest round of the site. A number that is
// far above the others raises it by a bounded step only.
func lastRound(members []MemberStatus) (last uint64) {
	var rounds []uint64
	for _, m := range members {
		if m.Silent == "" {
			rounds = append(rounds, m.Round)
		}
	}
	slices.Sort(rounds)
	for i, r := range rounds {
		if i == 0 {
			last = rollout.NearRound(r, r)
			continue
		}
		last = raised(last, r)
	}
	return last
}

// raised returns a round number, raised towards one that a process names by a
// bounded step at most. So no process can use up the numbers.
func raised(round, named uint64) uint64 {
	return max(round, rollout.NearRound(round, named))
}

// isHeld reports whether a process still holds the drain back, so that another
// round at once would be useless.
func isHeld(d *rollout.Drain) bool {
	return slices.ContainsFunc(d.Blockers(), func(h rollout.Blocker) bool {
		return h.Inflight == nil || h.Inflight.Live > 0
	})
}

// round runs one round: it asks all processes until each live one has answered.
func (c *Controller) round(ctx context.Context, round *uint64, drains []*rollout.Drain,
	begun time.Time) (done bool, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return false, fmt.Errorf("find the processes: %w", err)
	}
	var names []string
	for _, m := range members {
		names = append(names, m.Process)
	}
	if c.cfg.CutStreams {
		c.cutStreams(ctx, members, drains)
	}
	before := holding(drains)
	for _, d := range drains {
		d.Open(*round, names)
	}
	for {
		c.collect(ctx, members, round, drains)
		if err := ctx.Err(); err != nil { // an interrupted round does not show which processes are silent
			return false, waited("drain", before, err)
		}
		complete := true
		for _, d := range drains {
			complete = complete && d.Complete()
			c.cfg.Progress(Progress{
				Step: "drain", Service: d.Service, Holders: d.Blockers(), Waiting: time.Since(begun),
			})
		}
		if complete {
			break
		}
		before = holding(drains)
		if *round > drains[0].Round() { // a process knows a later round and will not answer this one
			*round++
			for _, d := range drains {
				d.Open(*round, names)
			}
		}
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return false, waited("drain", before, err)
		}
		if members, err = c.cfg.Site.Members(ctx); err != nil {
			return false, fmt.Errorf("find the processes: %w", err)
		}
	}
	done = true
	for _, d := range drains {
		if done = d.Close() && done; done {
			done, err = c.checkReliedOn(ctx, d)
		}
		if err != nil {
			return false, err
		}
	}
	return done, nil
}

// cutStreams asks all processes to end streams that were told to move. One that does not answer is asked again in the
// next round.
func (c *Controller) cutStreams(ctx context.Context, members []Member, drains []*rollout.Drain) {
	ask(ctx, members, func(ctx context.Context, m Member) error {
		for _, d := range drains {
			if _, err := m.Peer.CutStreams(ctx, d.Service, d.Old); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkReliedOn checks the services on which the result of a drain depends, see
// Drain.ReliedOn. It reports whether only processes that send reports serve them.
func (c *Controller) checkReliedOn(ctx context.Context, d *rollout.Drain) (bool, error) {
	all := true
	for service, said := range d.ReliedOn() {
		list, err := c.cfg.Site.Instances(ctx, service)
		if err != nil {
			return false, fmt.Errorf("look for %s: %w", service, err)
		}
		if slices.ContainsFunc(list, func(in Instance) bool {
			return !slices.Contains(said, in.Process) && !c.cfg.Site.Ended(ctx, in.Process, "")
		}) {
			d.MarkIncomplete(service)
			all = false
		}
	}
	return all, nil
}

// holdFor is how long a process may wait for the end of its work before it
// answers a round, so that a drain ends soon after its last work.
const holdFor = 2 * time.Second

// collect asks each process once, and records answers and death certificates. A
// process that may hold a drain back may delay its answer until its work has
// ended.
func (c *Controller) collect(ctx context.Context, members []Member, round *uint64, drains []*rollout.Drain) {
	reports := make(chan rollout.Report, len(members))
	patient := map[string]bool{}
	for _, d := range drains {
		maps.Copy(patient, d.Candidates())
	}
	failed := ask(ctx, members, func(ctx context.Context, m Member) error {
		q := rollout.Question{Round: drains[0].Round(), Until: drains[0].Since}
		if patient[m.Process] {
			q.Wait = holdFor
		}
		r, err := m.Peer.Report(ctx, q)
		if err == nil {
			reports <- r
		}
		return err
	})
	close(reports)
	for r := range reports {
		*round = raised(*round, r.Round) // the next round must be above those of other controllers
		if r.Round > *round {
			continue // the number is out of bounds, or ahead of this round
		}
		for _, d := range drains {
			d.Add(r)
		}
	}
	known := map[string]bool{}
	for _, m := range members {
		known[m.Process] = true
	}
	for _, d := range drains {
		for _, h := range d.Blockers() {
			_, silent := failed[h.Process]
			if h.Silent() && (vouched(h.Process, c.cfg.Without) ||
				(silent || !known[h.Process]) && c.cfg.Site.Ended(ctx, h.Process, "")) {
				d.MarkDead(h.Process)
			}
		}
	}
}

// waited returns the error of a step that ran out of time, with its blockers.
func waited(step, held string, err error) error { return fmt.Errorf("%s%s: %w", step, held, err) }

// holding lists the blockers of the drains.
func holding(drains []*rollout.Drain) (text string) {
	for _, d := range drains {
		for _, h := range d.Blockers() {
			text += fmt.Sprintf("; %s %s: %s is %s", d.Service, d.Old, h.Process, h.Why)
		}
	}
	return text
}

// stop waits until every process refuses the retired versions. Then it asks
// their instances to leave, and waits until the lists show none.
func (c *Controller) stop(ctx context.Context, log *rollout.Log, entries []rollout.Entry, r rollout.Release) error {
	begun := time.Now()
	for {
		failed := c.sendLog(ctx, entries)
		left, err := c.askToLeave(ctx, r)
		if err != nil {
			return err
		}
		if len(left) == 0 && silentError(ctx, c.cfg.Site, failed) == nil {
			if settled, err := c.settled(ctx); err != nil || settled {
				return err
			}
		}
		note := stillThere(left, len(failed))
		c.cfg.Progress(Progress{Step: "stop", Waiting: time.Since(begun), Note: note})
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return fmt.Errorf("stop (log at %v): %s: %w", log.Last(), note, err)
		}
	}
}

// stillThere says what the last step waits for, and how to continue it.
func stillThere(left []Instance, silent int) string {
	var parts []string
	for _, in := range left[:min(3, len(left))] {
		parts = append(parts,
			fmt.Sprintf("%s/%s at %s is still listed, by process %s", in.Service, in.Version, in.Addr, in.Process))
	}
	if more := len(left) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	if silent > 0 {
		parts = append(parts, fmt.Sprintf("%d processes have not answered", silent))
	}
	if len(left) > 0 {
		parts = append(parts, "end these processes, and what announces the version (skerry announce); for one that is "+
			"dead for certain say --dead PROCESS")
	}
	return strings.Join(parts, "; ")
}

// askToLeave asks the instances of the outgoing versions to leave, and returns
// those that are still listed. It omits instances of processes that are dead for
// certain, because a list may show them for minutes.
func (c *Controller) askToLeave(ctx context.Context, r rollout.Release) (left []Instance, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	for _, m := range r.Modules {
		list, err := c.cfg.Site.Instances(ctx, m.Service)
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", m.Service, err)
		}
		var owners []Member
		for _, in := range list {
			if in.Version != r.Outgoing(m) || vouched(in.Process, c.cfg.Without) {
				continue
			}
			left = append(left, in)
			for _, o := range members {
				if o.Process == in.Process {
					owners = append(owners, o)
				}
			}
		}
		failed := ask(ctx, owners, func(ctx context.Context, o Member) error {
			_, err := o.Peer.Leave(ctx, m.Service, r.Outgoing(m))
			return err
		})
		for process := range failed {
			if c.cfg.Site.Ended(ctx, process, "") {
				left = slices.DeleteFunc(left, func(in Instance) bool {
					return in.Service == m.Service && in.Process == process
				})
			}
		}
	}
	return left, nil
}
