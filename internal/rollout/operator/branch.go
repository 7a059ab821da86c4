package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/skerry/skerry/internal/rollout"
)

// Branch is one of the rule logs of a site. A site normally has one. It has
// several after two operators committed without seeing each other: on two
// primaries of the database, or in two halves of a network.
type Branch struct {
	Tip     rollout.Position `json:"tip"`
	Members []string         `json:"members,omitempty"` // processes with this log, or a prefix of it and of no other
	Stored  bool             `json:"stored,omitempty"`  // the database holds it or a part of it
	Entries []rollout.Entry  `json:"-"`
}

// names reports whether a text identifies the branch: it begins the hash of the
// tip (at least 4 characters), or is the tip's generation.
func (l Branch) names(text string) bool {
	return len(text) >= 4 && strings.HasPrefix(l.Tip.Hash, strings.ToLower(text)) || l.Tip.Generation.String() == text
}

// branchesOf returns the logs that the processes have applied, except for those
// that are part of another one. The log of the most processes comes first.
func branchesOf(ctx context.Context, members []Member) ([]Branch, error) {
	var mu sync.Mutex
	tips := map[rollout.Position][]Member{}
	ask(ctx, members, func(ctx context.Context, m Member) error {
		r, err := m.Peer.Report(ctx, rollout.Question{})
		if err == nil {
			mu.Lock()
			tip := rollout.Position{Generation: r.Applied, Hash: r.Hash}
			tips[tip] = append(tips[tip], m)
			mu.Unlock()
		}
		return err
	})
	if len(tips) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrFrozen, errNoneAnswers)
	}
	var branches []Branch
	for tip, with := range tips {
		if tip.Hash == "" { // the empty log is part of every other
			continue
		}
		entries, err := read(ctx, tip, with)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFrozen, err)
		}
		l := Branch{Tip: tip, Entries: entries}
		for _, m := range with {
			l.Members = append(l.Members, m.Process)
		}
		branches = append(branches, l)
	}
	return merged(branches), nil
}

// mostSilent is how many processes may let their time pass before a log is not read. Others refuse at once, such as
// those that are leaving: the next one is asked.
const mostSilent = 3

// read fetches the log up to tip from one of the processes that have applied
// it.
func read(ctx context.Context, tip rollout.Position, with []Member) ([]rollout.Entry, error) {
	var all error
	silent := 0
	for _, m := range with {
		if silent == mostSilent || ctx.Err() != nil {
			break
		}
		asking, cancel := context.WithTimeout(ctx, askLimit)
		entries, err := m.Peer.Since(asking, rollout.Generation{})
		if asking.Err() != nil {
			silent++
		}
		cancel()
		if err == nil {
			_, err = rollout.Replay(entries)
		}
		if errors.Is(err, rollout.ErrNeeds) {
			err = nil // the log is valid, though this command can't obey all of it
		}
		if i := slices.IndexFunc(entries, func(e rollout.Entry) bool { return e.Position() == tip }); err == nil &&
			i >= 0 {
			return entries[:i+1], nil // the process may have learnt more since its report
		}
		all = errors.Join(all, fmt.Errorf("read the rules of %s: %w", m.Process, cmp.Or(err, errChanged)))
	}
	return nil, cmp.Or(all, ctx.Err())
}

// merged removes the branches that another one contains or ends, and counts their
// processes there: they go on with that branch as soon as they receive it.
func merged(branches []Branch) (out []Branch) {
	slices.SortFunc(branches, func(a, b Branch) int {
		return cmp.Or(b.Tip.Generation.Compare(a.Tip.Generation), strings.Compare(a.Tip.Hash, b.Tip.Hash))
	})
	for _, l := range branches {
		i := slices.IndexFunc(out, func(o Branch) bool { return o.covers(l) })
		if i < 0 {
			out = append(out, l)
			continue
		}
		out[i].Members, out[i].Stored = append(out[i].Members, l.Members...), out[i].Stored || l.Stored
	}
	slices.SortStableFunc(out, func(a, b Branch) int { return cmp.Compare(len(b.Members), len(a.Members)) })
	for i := range out {
		slices.Sort(out[i].Members)
	}
	return out
}

// covers reports whether the branch contains or ends another one.
func (l Branch) covers(part Branch) bool {
	n := len(part.Entries)
	return n == 0 || n <= len(l.Entries) && l.Entries[n-1].Hash() == part.Tip.Hash || ends(l.Entries, part.Tip)
}

// ends reports whether one of the entries ends the log with that tip.
func ends(entries []rollout.Entry, tip rollout.Position) bool {
	return slices.ContainsFunc(entries, func(e rollout.Entry) bool { return slices.Contains(e.Ends, tip) })
}

// forked returns an error that lists the branches and says what to do.
func forked(branches []Branch) error {
	var text []string
	for _, l := range branches {
		where := fmt.Sprintf("%d processes", len(l.Members))
		if len(l.Members) > 0 && len(l.Members) <= 3 {
			where = strings.Join(l.Members, ", ")
		}
		if l.Stored {
			where += " and the database"
		}
		text = append(text, fmt.Sprintf("%v of %s", l.Tip, where))
	}
	return fmt.Errorf("%w: %s; calls between them are refused as rules_forked until one goes on: skerry release "+
		"adopt --keep HASH",
		ErrForked, strings.Join(text, ", "))
}

// Branches returns the rule logs of the site, including the store's.
func (c *Controller) Branches(ctx context.Context) ([]Branch, error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	branches, err := branchesOf(ctx, alive(members, c.cfg.Without))
	if err != nil && !errors.Is(err, errNoneAnswers) {
		return nil, err
	}
	if _, spread := c.cfg.Store.(*Ballot); spread {
		return branches, err
	}
	stored, err := c.cfg.Store.Since(ctx, rollout.Generation{})
	if err != nil {
		return nil, fmt.Errorf("read the rule log: %w: %w", ErrFrozen, err)
	}
	if _, err := rollout.Replay(stored); err != nil {
		return nil, fmt.Errorf("read the rule log: %w", err)
	}
	l := Branch{Entries: stored, Stored: true}
	if n := len(stored); n > 0 {
		l.Tip = stored[n-1].Position()
	}
	if len(branches) == 0 && len(stored) == 0 {
		return nil, nil
	}
	return merged(append(branches, l)), nil
}

// Adopt leaves the site with one log. After the store was restored from an older
// copy, it writes back what the processes have applied. Of logs that have
// forked, it keeps the one that keep names and ends the others. keep is the
// beginning of the hash of that log's tip, or its generation. In both cases a
// new timeline begins, so that no generation stands for two sets of rules.
func (c *Controller) Adopt(ctx context.Context, keep string) error {
	branches, err := c.Branches(ctx)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	i := slices.IndexFunc(branches, func(l Branch) bool { return keep != "" && l.names(keep) })
	switch {
	case keep != "" && i < 0:
		return fmt.Errorf("adopt: no log of the site is named %q; %w", keep, forked(branches))
	case keep == "" && len(branches) > 1:
		return fmt.Errorf("adopt: name the log to keep: %w", forked(branches))
	case len(branches) == 0:
		return fmt.Errorf("adopt: %w, there are no rules yet", rollout.ErrStep)
	}
	kept := branches[max(i, 0)]
	if len(branches) == 1 && c.wholeStored(ctx, kept) {
		return fmt.Errorf("adopt: %w, the log holds everything that the processes have applied", rollout.ErrStep)
	}
	if n, err := rollout.Vouched(c.cfg.Trust, kept.Entries, nil); n < len(kept.Entries) {
		return fmt.Errorf("adopt: %w", err)
	}
	e, err := c.ending(kept, slices.Delete(slices.Clone(branches), max(i, 0), max(i, 0)+1))
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	whole := append(slices.Clone(kept.Entries), e)
	if err := c.cfg.Store.Adopt(ctx, whole); err != nil {
		return fmt.Errorf("adopt: begin timeline %d: %w", e.Generation.Timeline, err)
	}
	c.sendLog(ctx, whole)
	return nil
}

// wholeStored reports whether the store holds all of the only log.
func (c *Controller) wholeStored(ctx context.Context, l Branch) bool {
	stored, err := c.cfg.Store.Since(ctx, rollout.Generation{})
	return err == nil && slices.ContainsFunc(stored, func(e rollout.Entry) bool { return e.Hash() == l.Tip.Hash })
}

// ending returns the entry that continues the kept log and ends the others. A
// service may have rules in the ended logs only. It gets a rule with the version
// that its first rule there names. Without one it would have no rule, and new
// traces could meet two versions of it.
func (c *Controller) ending(kept Branch, others []Branch) (rollout.Entry, error) {
	log, err := rollout.Replay(kept.Entries)
	if err != nil {
		return rollout.Entry{}, err
	}
	e, here := log.Next("", map[string]rollout.Rule{}), map[string]bool{}
	for _, k := range kept.Entries {
		here[k.Hash()] = true
	}
	for _, o := range others {
		other, err := rollout.Replay(o.Entries)
		if err != nil {
			return e, err
		}
		e.Generation.Timeline = max(e.Generation.Timeline, other.Last().Timeline)
		e.Generation.N = max(e.Generation.N, other.Last().N+1)
		for _, x := range o.Entries {
			if !here[x.Hash()] {
				e.Ends = append(e.Ends, x.Position())
			}
		}
		for _, service := range other.Services() {
			version, _ := other.First(service)
			if _, ruled := log.Rule(service); !ruled && e.Rules[service].Version == "" {
				e.Rules[service] = rollout.Rule{Version: version}
			}
		}
	}
	e.Generation.Timeline++
	text := fmt.Sprintf("adopt generation %v after the log was restored", log.Last())
	if len(others) > 0 {
		var ends []string
		for _, o := range others {
			ends = append(ends, o.Tip.String())
		}
		text = fmt.Sprintf("adopt %v, end %s", kept.Tip, strings.Join(ends, ", "))
	}
	return c.sealed(e, text)
}

// Countersign appends an empty step that the present key signs. The key of the
// step before may then be removed.
func (c *Controller) Countersign(ctx context.Context) error {
	log, entries, err := c.Log(ctx)
	if err != nil || len(entries) == 0 {
		return err
	}
	const text = "close the log under another key"
	e, err := c.sealed(log.Next("", nil), text)
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return c.publish(ctx, text, entries, e, c.cfg.Store.Append)
}

// Acknowledge records that the operator has reviewed earlier steps, each of which
// the key of the envelope has signed. It appends a step that changes no rule.
func (c *Controller) Acknowledge(ctx context.Context, seen ...rollout.Position) error {
	log, entries, err := c.Log(ctx)
	if err == nil {
		err = c.restored(ctx, log, entries)
	}
	if err != nil {
		return err
	}
	var names []string
	for _, p := range seen {
		if !slices.ContainsFunc(entries, func(e rollout.Entry) bool { return e.Position() == p }) {
			return fmt.Errorf("acknowledge %v: %w, the log does not hold it", p, rollout.ErrStep)
		}
		names = append(names, p.Generation.String())
	}
	text := "acknowledge what the key of the envelope has signed: generation " + strings.Join(names, ", ")
	e := log.Next("", nil)
	e.Acknowledges = seen
	if e, err = c.sealed(e, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return c.publish(ctx, text, entries, e, c.cfg.Store.Append)
}

// Vouch appends an entry that vouches, by the hash chain, for the entries before
// it. It is for entries of keys that are no longer trusted. The operator must
// review them first.
func (c *Controller) Vouch(ctx context.Context) error {
	entries, err := c.cfg.Store.Since(ctx, rollout.Generation{})
	if err != nil {
		return fmt.Errorf("vouch: read the rule log: %w", err)
	}
	log, err := rollout.Replay(entries)
	if err != nil {
		return fmt.Errorf("vouch: %w", err)
	}
	n, _ := rollout.Vouched(c.cfg.Trust, entries, nil)
	if n == len(entries) {
		return fmt.Errorf("vouch: %w, a trusted key has signed the newest of the %d entries", rollout.ErrStep, n)
	}
	e, err := c.sealed(log.Next("", nil), fmt.Sprintf("vouch for the last %d entries", len(entries)-n))
	if err == nil {
		err = c.cfg.Store.Append(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("vouch: %w", err)
	}
	c.sendLog(ctx, append(entries, e))
	return nil
}
