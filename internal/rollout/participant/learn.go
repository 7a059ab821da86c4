package participant

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// Learn applies entries, oldest first, up to the newest that a key trusted now
// has signed. It skips known entries. It stops at the first that does not
// follow (ErrGap, ErrFork). A process never goes back, with one exception: an
// entry that ends its log (Entry.Ends) replaces that log by the entry's own,
// which must be given from the fork on.
//
// The rules count before they are on disk, because calls may wait for them and
// a disk may be slow or full. That is safe: the entries are committed, and the
// process learns them again after a crash.
func (a *Agent) Learn(entries ...rollout.Entry) error {
	return a.LearnWithin(nil, entries...)
}

// LearnWithin is Learn for entries from any sender. afford is called before
// each check of a signature and may refuse it.
func (a *Agent) LearnWithin(afford func() bool, entries ...rollout.Entry) error {
	news, failed := a.apply(entries, afford)
	switch {
	case !news:
		return failed
	case a.cfg.OnLearnt != nil:
		a.cfg.OnLearnt()
		return failed
	}
	return errors.Join(failed, a.Persist())
}

// apply reports whether any entry was new.
func (a *Agent) apply(entries []rollout.Entry, afford func() bool) (news bool, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.lacks
	defer func() {
		if len(a.lacks) > 0 && !slices.Equal(a.lacks, before) && a.cfg.OnTooOld != nil {
			a.cfg.OnTooOld(a.log.Load().Last(), slices.Clone(a.lacks))
		}
	}()
	entries = slices.CompactFunc(slices.Clone(entries), func(x, y rollout.Entry) bool { return x.Hash() == y.Hash() })
	news, failed = a.extend(entries, afford)
	if errors.Is(failed, rollout.ErrFork) {
		if ended, err := a.replace(entries, afford); ended {
			news, failed = news || err == nil, err
		}
	}
	return news, failed
}

// extend applies entries that continue the log.
func (a *Agent) extend(entries []rollout.Entry, afford func() bool) (news bool, failed error) {
	log, chain := a.log.Load(), []rollout.Entry(nil)
	end := log.Tip()
	for _, e := range entries {
		if i, found := a.kept.find(e.Generation); found {
			if known := a.kept.entries[i]; known.Hash() != e.Hash() {
				failed = fmt.Errorf("generation %v is %.8s here and %.8s there: %w",
					e.Generation, known.Hash(), e.Hash(), rollout.ErrFork)
				break
			}
			continue
		}
		if failed = a.follows(end, e); failed != nil {
			break
		}
		end, chain = e.Position(), append(chain, e)
	}
	n, log, lacks, err := a.prove(log, chain, afford)
	if n < len(chain) {
		failed = errors.Join(err, failed)
	}
	if n > 0 {
		a.take(append(a.kept.entries[:len(a.kept.entries):len(a.kept.entries)], chain[:n]...), log)
	}
	if lacks != nil {
		a.lacks = lacks
	}
	return n > 0, failed
}

// follows checks, at low cost, that an entry belongs to the agent's cluster and
// follows end.
func (a *Agent) follows(end rollout.Position, e rollout.Entry) error {
	if e.Cluster != a.cfg.Cluster {
		return fmt.Errorf("generation %v: %w %q, this process of %q",
			e.Generation, rollout.ErrForeign, e.Cluster, a.cfg.Cluster)
	}
	return e.Follows(end.Generation, end.Hash)
}

// prove applies a chain of entries to log: the first n, up to the newest that
// is vouched for and that this version can obey. lacks are the next entry's
// needs that it does not understand. Entries without a valid signature cost no
// more than the checks that afford allows.
func (a *Agent) prove(log *rollout.Log, chain []rollout.Entry, afford func() bool) (
	n int, _ *rollout.Log, lacks []string, failed error,
) {
	logs := []*rollout.Log{log}
	n, failed = rollout.Vouched(a.cfg.Trust, chain, afford)
	for i, e := range chain[:n] {
		next, err := log.Apply(e)
		if err != nil { // the entries before it need a signature of their own
			n, failed = rollout.Vouched(a.cfg.Trust, chain[:i], afford)
			lacks, failed = e.UnknownNeeds(), errors.Join(err, failed)
			break
		}
		log, logs = next, append(logs, next)
	}
	return n, logs[n], lacks, failed
}

// replace replaces the applied log by the log of the entries, if one of them
// ends the applied one. ended is false if none does.
func (a *Agent) replace(entries []rollout.Entry, afford func() bool) (ended bool, err error) {
	log := a.log.Load()
	end := slices.IndexFunc(entries, func(e rollout.Entry) bool { return slices.Contains(e.Ends, log.Tip()) })
	if end < 0 {
		return false, nil
	}
	join := 0 // number of entries here that stand before the given ones
	if entries[0].Previous != "" {
		join = 1 + slices.IndexFunc(a.kept.entries, func(e rollout.Entry) bool {
			return e.Hash() == entries[0].Previous
		})
		if join == 0 {
			return true, fmt.Errorf("%v ends the log here; where the two part is not known yet: %w",
				entries[end].Generation, rollout.ErrGap)
		}
	}
	from := rollout.Position{}
	if join > 0 {
		from = a.kept.entries[join-1].Position()
	}
	for i, e := range entries {
		if err = a.follows(from, e); err != nil {
			entries = entries[:i]
			break
		}
		from = e.Position()
	}
	if n, unproven := rollout.Vouched(a.cfg.Trust, entries, afford); n <= end {
		return true, errors.Join(err, unproven)
	}
	before, broken := rollout.Replay(a.kept.entries[:join])
	if broken != nil {
		return true, broken
	}
	n, next, lacks, unproven := a.prove(before, entries, afford)
	if n > end {
		next = next.Expire(log.Expired()).ExpireOutside(log.ExpiredOutside())
		a.take(slices.Concat(a.kept.entries[:join], entries[:n]), next)
	}
	if lacks != nil {
		a.lacks = lacks
	}
	if n <= end {
		return true, errors.Join(err, unproven)
	}
	return true, nil
}

// take makes entries the applied log. mu is held.
func (a *Agent) take(entries []rollout.Entry, log *rollout.Log) {
	if p := a.kept.promise; p == nil || !log.Last().Before(p.Generation) {
		a.kept = kept{} // the promised or barred entry had this number or a lower one
	}
	a.kept.entries, a.lacks, a.unkept = entries, nil, true
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
}
