package skerry

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
// introduces itself to some processes that are listed. Whoever looks for the
// members of the site asks these whom they know. Until then, some 100 ms, no
// drain waits for its traces: they may fail, and never mix.
const (
	introduceLook    = 50 * time.Millisecond // between two looks whether that is needed
	introduceRest    = 2 * time.Second       // the same while everything is as it should be
	introduceEvery   = 30 * time.Second      // to each who was chosen
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
	member
	next time.Time // when it is to be told again
	ok   bool      // it knows
}

// introduce makes the process known while no registry lists it.
func (n *Node) introduce(ctx context.Context) error {
	for wait := introduceLook; run.Sleep(ctx, wait) == nil; {
		self, offered := n.offers.self()
		wait = introduceRest
		if offered && !n.members.onList(n.owner) && !n.introduction.round(ctx, n, self) {
			wait = introduceLook
		}
	}
	return nil
}

// round introduces the process to those whose turn it is, and reports whether
// as many know it as should.
func (i *introduction) round(ctx context.Context, n *Node, self member) (enough bool) {
	i.turn.Lock()
	defer i.turn.Unlock()
	if i.over {
		return true
	}
	chosen := i.choose(n.members.list(), self.Owner)
	ask := run.NewGroup(ctx)
	for _, a := range chosen {
		if time.Now().Before(a.next) {
			continue
		}
		ask.Go(func(ctx context.Context) error {
			i.note(a.member, n.tell(ctx, a.member, func(ctx context.Context, p *peer) error { return p.introduce(ctx, self) }))
			return nil
		})
	}
	_ = ask.Wait() // who failed is asked again
	known := i.known(chosen)
	return len(known) > 0 && len(known) == len(chosen)
}

// farewell is the end of it, when the process has nothing to do any more.
func (i *introduction) farewell(ctx context.Context, n *Node) {
	i.turn.Lock()
	defer i.turn.Unlock()
	i.over = true
	ask := run.NewGroup(ctx)
	for _, m := range i.known(nil) {
		ask.Go(func(ctx context.Context) error {
			return n.tell(ctx, m, func(ctx context.Context, p *peer) error { return p.farewell(ctx, n.owner) })
		})
	}
	if err := ask.Wait(); err != nil {
		n.log.Info("left without a farewell: releases wait until the end of this process is certain", "err", err)
	}
}

// tell says something to another process.
func (n *Node) tell(ctx context.Context, m member, say func(context.Context, *peer) error) error {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	p, err := n.peer(m)
	if err != nil {
		return err
	}
	return say(ctx, p)
}

// choose picks whom to introduce the process to: those who know it already,
// as long as they are listed, then others, each process different ones first;
// while nobody is listed, those who were.
func (i *introduction) choose(all []member, self registry.Owner) []acquaintance {
	i.mu.Lock()
	defer i.mu.Unlock()
	var known, fresh, failed, lost []acquaintance
	kept := map[registry.Owner]acquaintance{}
	for k := range all {
		m := all[(k+int(uint64(self.Epoch)%uint64(len(all))))%len(all)]
		a, tried := i.told[m.Owner]
		a.member = m
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

func (i *introduction) note(m member, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := introduceRest
	if err == nil {
		next = introduceEvery
	}
	i.told[m.Owner] = acquaintance{m, time.Now().Add(next), err == nil}
}

// known are those of the chosen, or of all, who know this process.
func (i *introduction) known(chosen []acquaintance) (out []member) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, a := range i.told {
		if a.ok && (chosen == nil || slices.ContainsFunc(chosen, func(c acquaintance) bool { return c.Owner == a.Owner })) {
			out = append(out, a.member)
		}
	}
	return out
}
