package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/skerry/skerry/internal/rollout"
)

// promised is an entry that a process has promised and that is not committed.
type promised struct {
	rollout.Entry
	by []Member // processes that have promised it
}

// promises returns the entries that were promised and are not committed, and
// the members that answered. Entries with more promises come first. The order
// is the same for every operator that sees the same site.
func (b *Ballot) promises(ctx context.Context) (list []promised, heard []Member, err error) {
	members, err := b.members(ctx)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	set := map[string]promised{}
	ask(ctx, members, func(ctx context.Context, m Member) error {
		e, err := m.Peer.Promised(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, m)
		if e != nil {
			set[e.Hash()] = promised{*e, append(set[e.Hash()].by, m)}
		}
		return nil
	})
	for _, p := range set {
		list = append(list, p)
	}
	slices.SortFunc(list, func(x, y promised) int {
		return cmp.Or(cmp.Compare(len(y.by), len(x.by)), cmp.Compare(x.Hash(), y.Hash()))
	})
	return list, heard, nil
}

// Pending returns the entries that were promised and are not committed.
// Interrupted commands leave them.
func (b *Ballot) Pending(ctx context.Context) ([]rollout.Entry, error) {
	list, _, err := b.promises(ctx)
	var out []rollout.Entry
	for _, p := range list {
		out = append(out, p.Entry)
	}
	return out, err
}

// settle completes an interrupted change. Of rival entries it completes the one
// with the most promises and gives up the others. These can't be committed,
// because each of them lacks the promise of a process that has promised another
// entry. With discard it gives up all, but not an entry that every process has
// promised, because that one may be committed already.
func (b *Ballot) settle(ctx context.Context, discard bool) error {
	list, heard, err := b.promises(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	losers := list[1:]
	if discard {
		losers = list
	}
	for _, p := range losers {
		if err := b.giveUp(ctx, p, heard); err != nil {
			return fmt.Errorf("give up %q of %s: %w", p.Step, p.By, err)
		}
	}
	if discard {
		return nil
	}
	e, err := signed(b.Signer, list[0].WithoutProofs())
	if err == nil {
		err = b.Append(ctx, e)
	}
	if errors.Is(err, rollout.ErrPromised) && b.giveUp(ctx, list[0], heard) == nil {
		return nil // another command had started to give it up
	}
	if err != nil {
		return fmt.Errorf("complete %q of %s: %w", list[0].Step, list[0].By, err)
	}
	return nil
}

// errCertain: an entry may be committed already.
var errCertain = errors.New("every process that answers has promised it, so it may be committed already; " +
	"complete it, then roll back what you do not want")

// giveUp ensures that the entry is never committed: one process bars it for good,
// and then all others drop their promises of it.
func (b *Ballot) giveUp(ctx context.Context, p promised, heard []Member) error {
	known, err := b.Since(ctx, rollout.Generation{})
	if err != nil {
		return err
	}
	by, err := b.undertaking(rollout.Entry.RejectText, p.Entry, "")
	if err != nil {
		return err
	}
	barred := errCertain
	for _, m := range heard {
		if slices.ContainsFunc(p.by, func(o Member) bool { return o.Process == m.Process }) {
			continue
		}
		if barred = m.Peer.Reject(ctx, p.Entry, by); errors.Is(barred, rollout.ErrGap) ||
			errors.Is(barred, rollout.ErrFork) {
			barred = errors.Join(m.Peer.Learn(ctx, known...), m.Peer.Reject(ctx, p.Entry, by)) // it lacks a commit
		}
		if barred == nil {
			break
		}
	}
	if barred != nil {
		return barred
	}
	return b.abandon(ctx, heard, p.Entry, "")
}
