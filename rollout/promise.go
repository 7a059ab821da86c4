package rollout

import (
	"fmt"
	"slices"
)

// Saved is what an agent must find again after a restart: without it a cold
// process could serve by older rules than it had promised to.
type Saved struct {
	Entries []Entry  `json:"entries"`
	Promise *Entry   `json:"promise,omitempty"` // accepted from an operator and not yet committed
	For     []string `json:"for,omitempty"`     // who asked for the promise
	Barred  []string `json:"barred,omitempty"`  // hashes of entries of the next number that are never promised
}

// pledge changes what is promised or barred: kept on disk first, then acted
// upon. Rules may be learnt meanwhile, as no lock is held; they win, and then
// pledge reports that it came too late.
func (a *Agent) pledge(change func(*Saved) (news bool, err error)) (late bool, err error) {
	a.disk <- struct{}{}
	defer func() { <-a.disk }()
	a.mu.Lock()
	next := a.saved
	a.mu.Unlock()
	if news, err := change(&next); err != nil || !news {
		return false, err
	}
	if err := a.save(next); err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.saved.Entries) > len(next.Entries) {
		return true, nil
	}
	a.saved = next
	return false, nil
}

// Promise accepts an entry that an operator proposes where no database orders
// the log: the process will accept no other entry of that number. The entry
// is committed, and then learnt, when every process has promised. Promising
// the same entry again is no error; a promise is kept across restarts, and
// until everybody who asked for it has taken it back. by names who asks.
func (a *Agent) Promise(e Entry, by string) error {
	late, err := a.pledge(func(next *Saved) (bool, error) {
		log := a.log.Load()
		if e.Generation == log.Last() && e.Hash() == log.Hash() {
			return false, nil // committed already
		}
		if _, err := log.Apply(e); err != nil {
			return false, err
		}
		switch p := next.Promise; {
		case slices.Contains(next.Barred, e.Hash()):
			return false, fmt.Errorf("generation %v: %w, and this one was given up", e.Generation, ErrPromised)
		case p == nil || p.Generation != e.Generation:
			next.Promise, next.For = &e, []string{by}
		case p.Hash() != e.Hash():
			return false, fmt.Errorf("generation %v: %w (%s by %s)", e.Generation, ErrPromised, p.Step, p.By)
		case slices.Contains(next.For, by):
			return false, nil
		default:
			next.For = append(slices.Clone(next.For), by)
		}
		return true, nil
	})
	log := a.log.Load()
	switch {
	case err != nil:
		return fmt.Errorf("promise: %w", err)
	case late && (e.Generation != log.Last() || e.Hash() != log.Hash()): // something else was committed meanwhile
		return fmt.Errorf("promise generation %v: %w", e.Generation, ErrFork)
	}
	return nil
}

// Abandon takes back a promise for exactly this entry, when its operator found
// that not everybody would promise. The promise stands while others have asked
// for it, too: they may be about to commit the entry. With by empty it does
// not stand for anybody: that is for entries that can't be committed, see Bar.
func (a *Agent) Abandon(e Entry, by string) error {
	_, err := a.pledge(func(next *Saved) (bool, error) {
		if next.Promise == nil || next.Promise.Hash() != e.Hash() {
			return false, nil
		}
		next.For = slices.DeleteFunc(slices.Clone(next.For), func(asked string) bool { return by == "" || asked == by })
		if len(next.For) == 0 {
			next.Promise = nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("take the promise back: %w", err)
	}
	return nil
}

// Bar makes sure that the process never promises the entry: as everybody
// would have to, it can't be committed then, and all other promises for it may
// be taken back. ErrPromised when it is promised here, ErrFork when it is
// applied.
func (a *Agent) Bar(e Entry) error {
	committed := func() bool {
		return slices.ContainsFunc(a.Since(Generation{}), func(o Entry) bool { return o.Hash() == e.Hash() })
	}
	late, err := a.pledge(func(next *Saved) (bool, error) {
		log := a.log.Load()
		switch p := next.Promise; {
		case p != nil && p.Hash() == e.Hash():
			return false, fmt.Errorf("%w here", ErrPromised)
		case committed():
			return false, fmt.Errorf("it is committed: %w", ErrFork)
		case !log.Last().Before(e.Generation):
			return false, nil // another has its number
		}
		if err := e.Follows(log.Last(), log.Hash()); err != nil {
			return false, err
		}
		next.Barred = append(slices.Clone(next.Barred), e.Hash())
		return true, nil
	})
	if late && committed() {
		err = fmt.Errorf("it was committed meanwhile: %w", ErrFork)
	}
	if err != nil {
		return fmt.Errorf("give generation %v up: %w", e.Generation, err)
	}
	return nil
}

// Promised is the entry that waits for its commit, nil when there is none.
func (a *Agent) Promised() *Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.saved.Promise
}
