package membership

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// A process that no registry lists, because its user may only read the
// database, or because the database has been away since before it started,
// introduces itself to some processes that are listed. A process that looks for
// the members of the site asks these which others they know. Until then, some 100 ms, no
// drain waits for its traces: they may fail, and never mix.
const (
	introduceLook    = 50 * time.Millisecond // between two looks whether that is needed
	introduceRest    = 2 * time.Second       // the same while everything is as it should be
	introduceEvery   = 30 * time.Second      // to each that was chosen
	introductionEnds = 90 * time.Second      // after the last one
	introduceTo      = 8                     // processes, when there are as many
	introducedMost   = 4096                  // that one process keeps note of, for good, and no registry has listed
)

// introduction is what a process does for being known.
type introduction struct {
	turn sync.Mutex // held by a round, and by the farewell

	mu   sync.Mutex
	told map[registry.Owner]acquaintance
	over bool // the process has said farewell; guarded by turn
}

// acquaintance is a process that was told of this one, or could not be.
type acquaintance struct {
	Member
	next time.Time // when it is to be told again
	ok   bool      // it knows
}

// announce makes the process known while no registry lists it.
func (m *Membership) announce(ctx context.Context) error {
	for wait := introduceLook; run.Sleep(ctx, wait) == nil; {
		self := m.self.Load()
		wait = introduceRest
		if self != nil && !m.list.onList(m.cfg.Owner) && !m.introduceRound(ctx, *self) {
			wait = introduceLook
		}
	}
	return nil
}

// introduceRound introduces the process where that is due, and reports
// whether as many know it as should.
func (m *Membership) introduceRound(ctx context.Context, self Member) (enough bool) {
	i := &m.introduction
	i.turn.Lock()
	defer i.turn.Unlock()
	if i.over {
		return true
	}
	chosen := i.choose(m.list.members(), self.Owner)
	round := run.NewGroup(ctx)
	for _, a := range chosen {
		if time.Now().Before(a.next) {
			continue
		}
		round.Go(func(ctx context.Context) error {
			introduce := func(ctx context.Context, p *Peer) error { return p.introduce(ctx, self) }
			i.record(a.Member, m.call(ctx, a.Member, introduce))
			return nil
		})
	}
	_ = round.Wait() // what failed is tried again
	known := i.known(chosen)
	return len(known) > 0 && len(known) == len(chosen)
}

// Farewell ends the introductions, when the process has nothing to do any more.
func (m *Membership) Farewell(ctx context.Context) {
	i := &m.introduction
	i.turn.Lock()
	defer i.turn.Unlock()
	i.over = true
	round := run.NewGroup(ctx)
	for _, k := range i.known(nil) {
		round.Go(func(ctx context.Context) error {
			return m.call(ctx, k, func(ctx context.Context, p *Peer) error { return p.farewell(ctx, m.cfg.Owner) })
		})
	}
	if err := round.Wait(); err != nil {
		m.log.Info("left without a farewell: releases wait until the end of this process is certain", "err", err)
	}
}

// Introduced is how many processes know this one by its introduction.
func (m *Membership) Introduced() int { return len(m.introduction.known(nil)) }

// choose picks where to introduce the process: at those that know it already,
// as long as they are listed, then others, each process different ones first;
// while none is listed, those that were.
func (i *introduction) choose(all []Member, self registry.Owner) []acquaintance {
	i.mu.Lock()
	defer i.mu.Unlock()
	var known, fresh, failed, lost []acquaintance
	kept := map[registry.Owner]acquaintance{}
	for k := range all {
		m := all[(k+int(uint64(self.Epoch)%uint64(len(all))))%len(all)]
		a, tried := i.told[m.Owner]
		a.Member = m
		if tried {
			kept[m.Owner] = a
		}
		switch {
		case m.Owner == self:
		case m.Gone != "":
			lost = append(lost, a)
		case a.ok:
			known = append(known, a)
		case tried:
			failed = append(failed, a)
		default:
			fresh = append(fresh, a)
		}
	}
	i.told = kept
	chosen := slices.Concat(known, fresh, failed)
	if len(chosen) == 0 {
		chosen = lost
	}
	return chosen[:min(introduceTo, len(chosen))]
}

// record says how the introduction to a process has ended.
func (i *introduction) record(m Member, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := introduceRest
	if err == nil {
		next = introduceEvery
	}
	i.told[m.Owner] = acquaintance{m, time.Now().Add(next), err == nil}
}

// known are those of the chosen, or of all, that know this process.
func (i *introduction) known(chosen []acquaintance) (out []Member) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, a := range i.told {
		if a.ok && (chosen == nil || slices.ContainsFunc(chosen,
			func(c acquaintance) bool { return c.Owner == a.Owner })) {
			out = append(out, a.Member)
		}
	}
	return out
}
