package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// Ballot is the Store of a site without a database. The log is what the
// processes have applied. An entry is committed when every process has promised
// to accept no other entry of its number.
type Ballot struct {
	Site    Site
	Signer  Signer   // signs the requests to the processes; nil: no signature
	Without []string // processes, host/pid or hosts that the operator vouches are dead
}

var errNoneAnswers = errors.New("no process of the site answers")

// Since returns the entries of the longest log that processes have applied. It
// fails with ErrForked when several logs have forked.
func (b *Ballot) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	members, err := b.members(ctx)
	if err != nil {
		return nil, err
	}
	branches, err := branchesOf(ctx, members)
	switch {
	case err != nil:
		return nil, err
	case len(branches) > 1:
		return nil, forked(branches)
	case len(branches) == 0:
		return nil, nil
	}
	entries := branches[0].Entries
	i := slices.IndexFunc(entries, func(e rollout.Entry) bool { return after.Before(e.Generation) })
	if i < 0 {
		return nil, nil
	}
	return entries[i:], nil
}

// Append asks every process to promise the entry, and then commits it. When a
// process refuses or is silent, Append takes the promises back. The processes
// get the entry's proof only after all have promised, so none can commit it
// before.
func (b *Ballot) Append(ctx context.Context, e rollout.Entry) error {
	known, err := b.Since(ctx, rollout.Generation{})
	if err != nil {
		return err
	}
	return b.append(ctx, known, e, signedRequests{})
}

// Prepare signs the requests that Append would make, so that appendTo works even
// when the signer is gone.
func (b *Ballot) Prepare(e rollout.Entry) (appendTo func(context.Context, rollout.Entry) error, err error) {
	var by signedRequests
	command := rand.Text()
	if by.promise, err = b.undertaking(rollout.Entry.PromiseText, e, command); err != nil {
		return nil, err
	}
	if by.abandon, err = b.undertaking(rollout.Entry.AbandonText, e, command); err != nil {
		return nil, err
	}
	return func(ctx context.Context, e rollout.Entry) error {
		known, err := b.Since(ctx, rollout.Generation{})
		if err != nil {
			return err
		}
		return b.append(ctx, known, e, by)
	}, nil
}

// signedRequests are requests to the processes. An empty one is signed when it is
// needed.
type signedRequests struct{ promise, abandon rollout.Undertaking }

// Adopt commits the last entry of whole, a log that replaces other logs.
func (b *Ballot) Adopt(ctx context.Context, whole []rollout.Entry) error {
	if len(whole) == 0 {
		return fmt.Errorf("adopt an empty log: %w", rollout.ErrFork)
	}
	return b.append(ctx, whole[:len(whole)-1], whole[len(whole)-1], signedRequests{})
}

func (b *Ballot) append(ctx context.Context, known []rollout.Entry, e rollout.Entry, with signedRequests) error {
	members, err := b.members(ctx)
	if err != nil {
		return err
	}
	by := with.promise
	if by.Command == "" {
		if by, err = b.undertaking(rollout.Entry.PromiseText, e, rand.Text()); err != nil {
			return err
		}
	}
	failed := ask(ctx, members, func(ctx context.Context, m Member) error {
		err := m.Peer.Promise(ctx, e.WithoutProofs(), by)
		if errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrFork) {
			// It may have missed a commit: send it the known log.
			learnt := m.Peer.Learn(ctx, known...)
			if errors.Is(err, rollout.ErrGap) && errors.Is(learnt, rollout.ErrUnproven) &&
				!errors.Is(learnt, rollout.ErrFork) {
				return nil // it lacks entries that count only once e does, so it can't promise; it learns them with e
			}
			if learnt != nil {
				return errors.Join(err, learnt)
			}
			err = m.Peer.Promise(ctx, e.WithoutProofs(), by)
		}
		return err
	})
	err = anyOf(failed, ErrDatabaseKept, rollout.ErrFork, rollout.ErrGap, rollout.ErrPromised, rollout.ErrRule,
		rollout.ErrUnproven)
	if err == nil {
		err = silentError(ctx, b.Site, failed)
	}
	if err == nil && len(failed) == len(members) {
		err = errNoneAnswers
	}
	if err != nil {
		return fmt.Errorf("generation %v is not committed: %w", e.Generation,
			errors.Join(err, b.takeBack(ctx, members, e, by.Command, with.abandon)))
	}
	return b.commit(ctx, members, known, e)
}

// undertaking returns a command's request to the processes, with the proof of
// its text.
func (b *Ballot) undertaking(
	text func(e rollout.Entry, command string) string, e rollout.Entry, command string,
) (u rollout.Undertaking, err error) {
	u.Command = command
	if b.Signer != nil {
		if u.Proof, err = b.Signer.Sign(rollout.ForPromise, text(e, command)); err != nil {
			return u, fmt.Errorf("%w the request to the processes: %w", errSign, err)
		}
	}
	return u, nil
}

// abandon takes back the promises that the command asked for, or all promises
// for an empty command.
func (b *Ballot) abandon(ctx context.Context, members []Member, e rollout.Entry, command string) error {
	return b.takeBack(ctx, members, e, command, rollout.Undertaking{})
}

// takeBack is abandon with by, the request, if it was signed before.
func (b *Ballot) takeBack(ctx context.Context, members []Member, e rollout.Entry, command string,
	by rollout.Undertaking) error {
	if by.Command == "" {
		var err error
		if by, err = b.undertaking(rollout.Entry.AbandonText, e, command); err != nil {
			return fmt.Errorf("the promises could not be taken back; skerry release refresh settles them: %w", err)
		}
	}
	ask(context.WithoutCancel(ctx), members, func(ctx context.Context, m Member) error {
		return m.Peer.Abandon(ctx, e.WithoutProofs(), by)
	})
	return nil
}

// commit sends the entry to all processes. The commit holds as soon as one of
// them has it, because the others learn it from there.
func (b *Ballot) commit(ctx context.Context, members []Member, known []rollout.Entry, e rollout.Entry) error {
	failed := ask(context.WithoutCancel(ctx), members, func(ctx context.Context, m Member) error {
		return teach(ctx, m.Peer, append(known[:len(known):len(known)], e))
	})
	if fork := anyOf(failed, rollout.ErrFork); fork != nil {
		return fmt.Errorf("generation %v is committed, but a process has applied another entry in its place; one "+
			"that was vouched to be dead may live: %w", e.Generation, fork)
	}
	if len(failed) == len(members) {
		return fmt.Errorf("all processes have promised generation %v, but none has received its commit; skerry "+
			"release refresh completes it", e.Generation)
	}
	return nil
}

func (b *Ballot) members(ctx context.Context) ([]Member, error) {
	all, err := b.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: find the processes: %w", ErrFrozen, err)
	}
	if all = alive(all, b.Without); len(all) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrFrozen, errNoneAnswers)
	}
	return all, nil
}
