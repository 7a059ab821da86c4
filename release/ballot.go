package release

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/skerry/skerry/rollout"
)

// Ballot is the Store of a site without a database: the log is what the
// processes have applied, and an entry is committed when every one of them
// has promised to accept no other of its number.
type Ballot struct {
	Site    Site
	Without []string // processes, host/pid or hosts to go without: the operator vouches for their death
}

var errNobody = errors.New("no process of the site answers")

// Since reads the longest log and checks that all others are part of it.
func (b *Ballot) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	members, err := b.members(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	logs := map[rollout.Generation]string{} // generation to hash, as processes say
	var longest *Member
	var newest rollout.Generation
	fork := ""
	ask(ctx, members, func(ctx context.Context, m Member) error {
		r, err := m.Peer.Report(ctx, rollout.Question{})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if hash, known := logs[r.Applied]; known && hash != r.Hash {
			fork = m.Process
		}
		logs[r.Applied] = r.Hash
		if longest == nil || newest.Before(r.Applied) {
			longest, newest = &m, r.Applied
		}
		return nil
	})
	if longest == nil {
		return nil, fmt.Errorf("%w: %w", ErrFrozen, errNobody)
	}
	entries, err := longest.Peer.Since(ctx, rollout.Generation{})
	if err != nil {
		return nil, fmt.Errorf("%w: read the rules of %s: %w", ErrFrozen, longest.Process, err)
	}
	var out []rollout.Entry
	for _, e := range entries {
		if hash, said := logs[e.Generation]; said && hash != e.Hash() {
			fork = longest.Process
		}
		if after.Before(e.Generation) {
			out = append(out, e)
		}
	}
	if fork != "" {
		return nil, fmt.Errorf("%s and others have different rules: %w", fork, rollout.ErrFork)
	}
	return out, nil
}

// Append has everybody promise, then commits. On any refusal, and when
// somebody is silent, it takes the promises back.
func (b *Ballot) Append(ctx context.Context, e rollout.Entry) error {
	members, err := b.members(ctx)
	if err != nil {
		return err
	}
	known, err := b.Since(ctx, rollout.Generation{})
	if err != nil {
		return err
	}
	by := rand.Text()
	failed := ask(ctx, members, func(ctx context.Context, m Member) error {
		err := m.Peer.Promise(ctx, e, by)
		if errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrFork) {
			// It may have missed a commit: it gets what everybody has.
			if learnt := m.Peer.Learn(ctx, known...); learnt != nil {
				return errors.Join(err, learnt)
			}
			err = m.Peer.Promise(ctx, e, by)
		}
		return err
	})
	err = first(failed, ErrElsewhere, rollout.ErrFork, rollout.ErrGap, rollout.ErrPromised, rollout.ErrRule)
	if err == nil {
		err = silent(ctx, b.Site, failed)
	}
	if err == nil && len(failed) == len(members) {
		err = errNobody
	}
	if err != nil {
		ask(context.WithoutCancel(ctx), members, func(ctx context.Context, m Member) error { return m.Peer.Abandon(ctx, e, by) })
		return fmt.Errorf("generation %v is not committed: %w", e.Generation, err)
	}
	return b.commit(ctx, members, e)
}

// commit tells everybody. From here on the entry stands: who is not reached
// learns it from others, so one is enough.
func (b *Ballot) commit(ctx context.Context, members []Member, e rollout.Entry) error {
	failed := ask(context.WithoutCancel(ctx), members, func(ctx context.Context, m Member) error { return m.Peer.Learn(ctx, e) })
	if fork := first(failed, rollout.ErrFork); fork != nil {
		return fmt.Errorf("generation %v is committed, and somebody has applied another in its place, without the processes that were vouched to be dead: %w", e.Generation, fork)
	}
	if len(failed) == len(members) {
		return fmt.Errorf("generation %v was promised by all, and its commit has reached nobody; refresh completes it", e.Generation)
	}
	return nil
}

func (b *Ballot) members(ctx context.Context) ([]Member, error) {
	all, err := b.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: find the processes: %w", ErrFrozen, err)
	}
	if all = alive(all, b.Without); len(all) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrFrozen, errNobody)
	}
	return all, nil
}
