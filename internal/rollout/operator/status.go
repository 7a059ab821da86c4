package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Status is the state of the site at one poll.
type Status struct {
	Generation rollout.Generation      `json:"generation"` // newest of the log
	Hash       string                  `json:"hash"`
	Session    *rollout.Release        `json:"session,omitempty"` // newest release; nil before the first
	Rules      map[string]rollout.Rule `json:"rules,omitempty"`
	Members    []MemberStatus          `json:"members"`
	Frozen     string                  `json:"frozen,omitempty"` // why no step can be committed: the text of Err
	Err        error                   `json:"-"`
	Pending    []rollout.Entry         `json:"pending,omitempty"`  // promised, not committed: see Refresh
	Trail      []rollout.Entry         `json:"trail,omitempty"`    // all steps, oldest first
	Spread     bool                    `json:"spread,omitempty"`   // the processes keep the log, without a database
	Branches   []Branch                `json:"branches,omitempty"` // the logs if there are several: see Adopt
}

// MemberStatus is the state of one process.
type MemberStatus struct {
	Process string             `json:"process"`
	Addr    string             `json:"addr,omitempty"`
	Applied rollout.Generation `json:"applied"`
	Hash    string             `json:"hash"`
	Round   uint64             `json:"round"`
	Running map[string]int     `json:"running,omitempty"` // calls that run, by service/version
	Runs    []string           `json:"runs,omitempty"`    // service/version that run there
	Waits   []string           `json:"waits,omitempty"`   // service/version that wait for their turn
	Place   string             `json:"place,omitempty"`
	Gone    string             `json:"gone,omitempty"`   // how it left the lists
	Silent  string             `json:"silent,omitempty"` // why it did not answer
	Ended   bool               `json:"ended,omitempty"`  // silent, and dead for certain: see Site
	Heard   time.Time          `json:"heard,omitzero"`
	Orphans map[string]int64   `json:"orphans,omitempty"` // see rollout.Report
	Lacks   []string           `json:"lacks,omitempty"`   // needs of the next entry that it does not understand

	report rollout.Report // the whole report
}

// tooOld describes what the process can't obey.
func (m MemberStatus) tooOld() string {
	return fmt.Sprintf("%s has applied generation %v and can't obey the next, which needs %q: upgrade skerry there",
		m.Process, m.Applied, m.Lacks)
}

// Status polls the log and the processes. Frozen describes what could not be
// read; the log is then the one that most processes use.
func (c *Controller) Status(ctx context.Context) Status {
	s := c.poll(ctx)
	c.certify(ctx, s.Members)
	log, entries, err := c.readLog(ctx)
	if err == nil {
		err = c.restoredBy(s, log, entries)
	}
	if err != nil {
		s.Err, s.Frozen = err, err.Error()
		if branches, err := c.Branches(ctx); err == nil && len(branches) > 1 {
			s.Branches, s.Err = branches, forked(branches)
			s.Frozen = s.Err.Error()
		}
		log, entries = c.inUse(ctx, log, entries)
	}
	if log == nil {
		return s
	}
	s.Generation = log.Last()
	s.Hash = log.Hash()
	s.Trail = entries
	s.Rules = map[string]rollout.Rule{}
	if r, ok := log.Session(); ok {
		s.Session = &r
	}
	for _, name := range log.Services() {
		s.Rules[name], _ = log.Rule(name)
	}
	if b, ok := c.cfg.Store.(*Ballot); ok {
		s.Spread = true
		s.Pending, _ = b.Pending(ctx)
	}
	return s
}

// inUse returns the log that most processes use, or the given one if none
// reports.
func (c *Controller) inUse(ctx context.Context, log *rollout.Log,
	entries []rollout.Entry) (*rollout.Log, []rollout.Entry) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return log, entries
	}
	branches, err := branchesOf(ctx, alive(members, c.cfg.Without))
	if err != nil || len(branches) == 0 {
		return log, entries
	}
	used := branches[0].Entries
	whole, err := rollout.Replay(used)
	if errors.Is(err, rollout.ErrNeeds) { // this command does not understand the rest
		i, _ := slices.BinarySearchFunc(used, whole.Last(), func(e rollout.Entry, g rollout.Generation) int {
			return cmp.Or(e.Generation.Compare(g), -1)
		})
		return whole, used[:i]
	}
	if err != nil {
		return log, entries
	}
	return whole, used
}

// poll asks every process for its report.
func (c *Controller) poll(ctx context.Context) Status {
	var s Status
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		s.Err, s.Frozen = err, err.Error()
	}
	members = alive(members, c.cfg.Without)
	var mu sync.Mutex
	failed := ask(ctx, members, func(ctx context.Context, m Member) error {
		r, err := m.Peer.Report(ctx, rollout.Question{})
		if err == nil {
			mu.Lock()
			s.Members = append(s.Members, MemberStatus{
				Process: m.Process, Addr: m.Addr, Gone: m.Gone, Heard: m.Heard,
				Place: r.Place, Applied: r.Applied, Hash: r.Hash, Round: r.Round,
				Running: r.Running, Runs: r.Runs, Waits: r.Waits, Orphans: r.Orphans, Lacks: r.Lacks,
				report: r,
			})
			mu.Unlock()
		}
		return err
	})
	for _, m := range members {
		if err := failed[m.Process]; err != nil {
			s.Members = append(s.Members, MemberStatus{
				Process: m.Process, Addr: m.Addr, Gone: m.Gone, Heard: m.Heard, Silent: err.Error(),
			})
		}
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return strings.Compare(a.Process, b.Process) })
	return s
}

// certify marks the silent processes that are dead for certain.
func (c *Controller) certify(ctx context.Context, members []MemberStatus) {
	var silent []Member
	for _, m := range members {
		if m.Silent != "" {
			silent = append(silent, Member{Process: m.Process})
		}
	}
	lives := ask(ctx, silent, func(ctx context.Context, m Member) error {
		if c.cfg.Site.Ended(ctx, m.Process, "") {
			return nil
		}
		return ErrSilent
	})
	for i, m := range members {
		members[i].Ended = m.Silent != "" && lives[m.Process] == nil
	}
}

// Blockers returns what holds back the drains of the outgoing versions, by
// service. It asks the processes in one round, which no drain counts.
func (c *Controller) Blockers(ctx context.Context) (map[string][]rollout.Blocker, error) {
	log, _, err := c.Log(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := log.Session()
	if !ok || r.Since == (rollout.Generation{}) {
		return nil, nil
	}
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	round := lastRound(c.poll(ctx).Members)
	var names []string
	for _, m := range members {
		names = append(names, m.Process)
	}
	var drains []*rollout.Drain
	for _, m := range r.Modules {
		d := &rollout.Drain{Service: m.Service, Old: r.Outgoing(m), Since: r.Since}
		d.Open(max(round, 1), names)
		drains = append(drains, d)
	}
	round = max(round, 1)
	c.collect(ctx, members, &round, drains)
	out := map[string][]rollout.Blocker{}
	for _, d := range drains {
		out[d.Service] = d.Blockers()
	}
	return out, nil
}

// Validate lists the obstacles to the next step: versions that the rules name
// and no process serves, processes behind the log, silent processes.
func (c *Controller) Validate(ctx context.Context) []string {
	s := c.Status(ctx)
	var out []string
	if s.Frozen != "" {
		out = append(out, s.Frozen)
	}
	for service, rule := range s.Rules {
		for _, v := range rule.Versions() {
			if err := c.checkUp(ctx, service, v); err != nil {
				out = append(out, err.Error())
			}
		}
	}
	for _, m := range s.Members {
		switch {
		case m.Silent != "":
			out = append(out, fmt.Sprintf("%s does not answer: %s", m.Process, m.Silent))
		case len(m.Lacks) > 0:
			out = append(out, m.tooOld())
		case m.Applied.Before(s.Generation):
			out = append(out, fmt.Sprintf("%s has applied generation %v of %v", m.Process, m.Applied, s.Generation))
		}
	}
	for _, e := range s.Pending {
		out = append(out,
			fmt.Sprintf("generation %v (%s by %s) was promised and is not committed; refresh completes it",
				e.Generation, e.Step, e.By))
	}
	slices.Sort(out)
	return out
}

// Refresh completes an interrupted change, and sends the log to every process. Of
// rival changes it completes one and gives up the others, which is safe even
// while their commands run. With discard it gives up all.
func (c *Controller) Refresh(ctx context.Context, discard bool) error {
	if b, ok := c.cfg.Store.(*Ballot); ok {
		if _, entries, err := c.Log(ctx); err == nil {
			c.sendLog(ctx, entries) // a process that missed a commit drops its promise
		}
		if err := b.settle(ctx, discard); err != nil {
			return err
		}
	}
	_, entries, err := c.Log(ctx)
	if err != nil {
		return err
	}
	return silentError(ctx, c.cfg.Site, c.sendLog(ctx, entries))
}
