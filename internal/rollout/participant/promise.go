package participant

import (
	"fmt"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// Saved is the state that an agent needs after a restart. Without it a restarted
// process could serve by other rules than it has promised.
type Saved struct {
	Records []rollout.Record      `json:"records"`
	Tip     string                `json:"tip,omitempty"`     // hash of the last record
	Promise *rollout.Record       `json:"promise,omitempty"` // promised to an operator and not yet committed
	For     []rollout.Undertaking `json:"for,omitempty"`     // commands that asked for the promise
	Barred  []string              `json:"barred,omitempty"`  // hashes of entries that are never promised
}

// kept is the agent's form of Saved: applied and promised entries.
type kept struct {
	entries []rollout.Entry
	promise *rollout.Entry
	askedBy []rollout.Undertaking
	barred  []string
}

// find returns the index of the entry of a generation, or the index at which it
// would be.
func (k *kept) find(g rollout.Generation) (i int, found bool) {
	return slices.BinarySearchFunc(k.entries, g, func(e rollout.Entry, g rollout.Generation) int {
		return e.Generation.Compare(g)
	})
}

// save returns the state to write to disk.
func (k *kept) save() Saved {
	s := Saved{Records: make([]rollout.Record, len(k.entries)), For: k.askedBy, Barred: k.barred}
	for i, e := range k.entries {
		s.Records[i], s.Tip = e.Record(), e.Hash()
	}
	if k.promise != nil {
		s.Promise = new(k.promise.Record())
	}
	return s
}

// open returns the entries up to the first invalid one.
func (s Saved) open() (entries []rollout.Entry, err error) {
	for _, r := range s.Records {
		e, err := r.Open()
		if err != nil {
			return entries, fmt.Errorf("saved entry %d: %w", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
	switch n := len(entries); {
	case n == 0 && s.Tip != "":
		return nil, fmt.Errorf("saved entries: %w: all are missing, up to hash %.8s", rollout.ErrEntry, s.Tip)
	case n > 0 && entries[n-1].Hash() != s.Tip:
		return entries[:n-1], fmt.Errorf("saved entry %d: %w: its hash is not the one that was saved last",
			n, rollout.ErrEntry)
	}
	return entries, nil
}

// reload restores the promised and barred entries of an earlier run.
func (a *Agent) reload(s Saved) error {
	a.kept.barred = s.Barred
	if s.Promise == nil {
		return nil
	}
	e, err := s.Promise.Open()
	if err == nil {
		err = a.promisable(e)
	}
	if err != nil {
		return fmt.Errorf("saved promise: %w", err)
	}
	dropped := fmt.Errorf("saved promise: %w: no operator has asked for it", rollout.ErrUnproven)
	if len(s.For) > 0 {
		dropped = nil
	}
	for _, u := range s.For {
		if err := a.checkRequest(rollout.Entry.PromiseText, e, u); err != nil {
			dropped = fmt.Errorf("saved promise: %w", err)
			continue
		}
		a.kept.promise, a.kept.askedBy = &e, append(a.kept.askedBy, u)
	}
	return dropped
}

// Persist writes the state to disk if it has changed since the last write. The
// applied rules count even if the write fails.
func (a *Agent) Persist() error {
	a.disk <- struct{}{}
	defer func() { <-a.disk }()
	a.mu.Lock()
	saved, unsaved := a.kept.save(), a.unsaved
	a.unsaved = false
	a.mu.Unlock()
	if !unsaved {
		return nil
	}
	err := a.cfg.Save(saved)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsaved = true
	return fmt.Errorf("save the rules: %w", err)
}

// promisable checks that the entry can be the next one here.
func (a *Agent) promisable(e rollout.Entry) error {
	log := a.log.Load()
	if e.Cluster == a.cfg.Cluster && slices.Contains(e.Ends, log.Tip()) {
		return e.CheckNeeds()
	}
	if err := a.follows(log.Tip(), e); err != nil {
		return err
	}
	_, err := log.Apply(e)
	return err
}

// checkRequest checks that a trusted operator has signed the request of a
// command. text makes the text that is signed.
func (a *Agent) checkRequest(text func(rollout.Entry, string) string, e rollout.Entry, by rollout.Undertaking) error {
	_, err := by.SignedBy(a.cfg.Trust, text(e, by.Command))
	return err
}

// changePromises changes what is promised or barred, and writes it to disk first.
// It does not hold mu during the write. If rules are learnt meanwhile, it drops
// the change and returns late.
func (a *Agent) changePromises(change func(*kept) (news bool, err error)) (late bool, err error) {
	a.disk <- struct{}{}
	defer func() { <-a.disk }()
	a.mu.Lock()
	next := a.kept
	a.mu.Unlock()
	if news, err := change(&next); err != nil || !news {
		return false, err
	}
	err = a.cfg.Save(next.save())
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.unsaved = true // a write that was given up may still reach the disk, and Persist must undo it
		return false, err
	}
	if was, is := len(next.entries), len(a.kept.entries); was != is ||
		was > 0 && next.entries[was-1].Hash() != a.kept.entries[is-1].Hash() {
		return true, nil
	}
	a.kept, a.unsaved = next, false
	return false, nil
}

// Promise promises an entry to an operator of a site without a database. The
// process then promises no other entry of that number. When every process has
// promised, the operator commits the entry, and the processes learn it. The
// promise survives restarts. It ends when every command that asked for it has
// taken it back. A second promise of the same entry is allowed. An entry that
// ends the log here may be promised, too: see Entry.Ends. Errors wrap
// ErrPromised, ErrFork, ErrGap or ErrUnproven of package rollout, or those of
// Save.
func (a *Agent) Promise(e rollout.Entry, by rollout.Undertaking) error {
	if err := a.checkRequest(rollout.Entry.PromiseText, e, by); err != nil {
		return fmt.Errorf("promise: %w", err)
	}
	e = e.WithoutProofs() // only the operator's command may commit it
	late, err := a.changePromises(func(next *kept) (bool, error) {
		log := a.log.Load()
		if e.Generation == log.Last() && e.Hash() == log.Hash() {
			return false, nil // committed already
		}
		if err := a.promisable(e); err != nil {
			return false, err
		}
		switch p := next.promise; {
		case slices.Contains(next.barred, e.Hash()):
			return false, fmt.Errorf("generation %v: this entry was given up: %w", e.Generation, rollout.ErrPromised)
		case p == nil || len(e.Ends) > 0 && p.Generation.Before(e.Generation): // adopt ends the log that p continues
			next.promise, next.askedBy = &e, []rollout.Undertaking{by}
		case p.Hash() != e.Hash():
			return false, fmt.Errorf("generation %v: %w (%v: %s by %s)",
				e.Generation, rollout.ErrPromised, p.Generation, p.Step, p.By)
		case slices.ContainsFunc(next.askedBy, func(u rollout.Undertaking) bool { return u.Command == by.Command }):
			return false, nil
		case len(next.askedBy) >= mostCommands:
			return false, fmt.Errorf("generation %v: %w: %d commands ask for it, the limit",
				e.Generation, rollout.ErrPromised, mostCommands)
		default:
			next.askedBy = append(slices.Clone(next.askedBy), by)
		}
		return true, nil
	})
	log := a.log.Load()
	switch {
	case err != nil:
		return fmt.Errorf("promise: %w", err)
	case late && (e.Generation != log.Last() || e.Hash() != log.Hash()): // another entry was committed meanwhile
		return fmt.Errorf("promise generation %v: %w", e.Generation, rollout.ErrFork)
	}
	return nil
}

// Limits of the state that operators' commands leave here.
const (
	mostCommands = 64
	mostBarred   = 256
)

// Abandon takes back the promise of this entry for one command. The command calls
// it when another process has not promised. The promise stands while other commands
// have asked for it, because they may be about to commit the entry. An empty
// command takes it back for all commands, once the entry can't be committed any
// more: see Reject.
func (a *Agent) Abandon(e rollout.Entry, by rollout.Undertaking) error {
	if err := a.checkRequest(rollout.Entry.AbandonText, e, by); err != nil {
		return fmt.Errorf("take the promise back: %w", err)
	}
	_, err := a.changePromises(func(next *kept) (bool, error) {
		if next.promise == nil || next.promise.Hash() != e.Hash() {
			return false, nil
		}
		next.askedBy = slices.DeleteFunc(slices.Clone(next.askedBy), func(u rollout.Undertaking) bool {
			return by.Command == "" || u.Command == by.Command
		})
		if len(next.askedBy) == 0 {
			next.promise = nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("take the promise back: %w", err)
	}
	return nil
}

// Reject bars the entry: this process will never promise it. A commit needs the
// promises of all processes, so the entry can't be committed any more, and other
// processes may take their promises back. The error wraps rollout.ErrPromised
// when this process has promised the entry, and rollout.ErrFork when it has
// applied it.
func (a *Agent) Reject(e rollout.Entry, by rollout.Undertaking) error {
	if err := a.checkRequest(rollout.Entry.RejectText, e, by); err != nil {
		return fmt.Errorf("give generation %v up: %w", e.Generation, err)
	}
	committed := func() bool {
		return slices.ContainsFunc(a.Since(rollout.Generation{}), func(o rollout.Entry) bool {
			return o.Hash() == e.Hash()
		})
	}
	late, err := a.changePromises(func(next *kept) (bool, error) {
		log := a.log.Load()
		switch p := next.promise; {
		case p != nil && p.Hash() == e.Hash():
			return false, fmt.Errorf("this process has promised it: %w", rollout.ErrPromised)
		case committed():
			return false, fmt.Errorf("it is committed: %w", rollout.ErrFork)
		case !log.Last().Before(e.Generation):
			return false, nil // another entry has its number
		case len(next.barred) >= mostBarred:
			return false, fmt.Errorf("%d entries were given up here, the limit: %w", mostBarred, rollout.ErrPromised)
		}
		if err := e.Follows(log.Last(), log.Hash()); err != nil && !slices.Contains(e.Ends, log.Tip()) {
			return false, err
		}
		next.barred = append(slices.Clone(next.barred), e.Hash())
		return true, nil
	})
	if late && committed() {
		err = fmt.Errorf("it was committed meanwhile: %w", rollout.ErrFork)
	}
	if err != nil {
		return fmt.Errorf("give generation %v up: %w", e.Generation, err)
	}
	return nil
}

// Promised returns the entry that waits for its commit, nil when there is none.
func (a *Agent) Promised() *rollout.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.promise
}
