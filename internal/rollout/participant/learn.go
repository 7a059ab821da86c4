package participant

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// Learn applies entries, given oldest first, up to the newest that a trusted key
// has signed. It skips known entries, and stops at the first that does not
// follow (ErrGap, ErrFork). A process never drops an applied entry, except when
// an entry ends its log (Entry.Ends): then that entry's log replaces it. The
// entries must then begin at the fork or before.
//
// The rules count before they are on disk, because calls may wait for them and
// a disk may be slow or full. That is safe: the entries are committed, and the
// process learns them again after a crash.
func (a *Agent) Learn(entries ...rollout.Entry) error {
	return a.LearnWithin(nil, entries...)
}

// LearnWithin is Learn for entries of a sender that is not trusted. afford is
// called before each check of a signature, and refuses it by false.
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

// apply applies entries, or replaces the log by them. It reports whether any
// entry was new.
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
	n, log, lacks, err := a.applyVouched(log, chain, afford)
	if n < len(chain) {
		failed = errors.Join(err, failed)
	}
	if n > 0 {
		a.setLog(append(a.kept.entries[:len(a.kept.entries):len(a.kept.entries)], chain[:n]...), log)
	}
	if lacks != nil {
		a.lacks = lacks
	}
	return n > 0, failed
}

// follows checks that an entry belongs to the agent's cluster and follows end. It
// checks no signature, so it is cheap.
func (a *Agent) follows(end rollout.Position, e rollout.Entry) error {
	if e.Cluster != a.cfg.Cluster {
		return fmt.Errorf("generation %v: %w %q, this process of %q",
			e.Generation, rollout.ErrForeign, e.Cluster, a.cfg.Cluster)
	}
	return e.Follows(end.Generation, end.Hash)
}

// applyVouched returns log with the first n entries of a chain, up to the newest
// that is vouched for and that this version of skerry can obey. lacks are the
// needs of the next entry that it does not understand. For entries without a
// valid signature it makes no more checks than afford allows.
func (a *Agent) applyVouched(log *rollout.Log, chain []rollout.Entry, afford func() bool) (
	n int, _ *rollout.Log, lacks []string, failed error,
) {
	logs := []*rollout.Log{log}
	n, failed = rollout.Vouched(a.cfg.Trust, chain, afford)
	for i, e := range chain[:n] {
		next, err := log.Apply(e)
		if err != nil { // it can't vouch for the entries before it: one of them must be signed
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
	join := 0 // number of entries here that the given ones follow
	if entries[0].Previous != "" {
		join = 1 + slices.IndexFunc(a.kept.entries, func(e rollout.Entry) bool {
			return e.Hash() == entries[0].Previous
		})
		if join == 0 {
			return true, fmt.Errorf("generation %v ends the log here, but entries after the fork are missing: %w",
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
	n, next, lacks, unproven := a.applyVouched(before, entries, afford)
	if n > end {
		next = next.Expire(log.Expired()).ExpireOutside(log.ExpiredOutside())
		a.setLog(slices.Concat(a.kept.entries[:join], entries[:n]), next)
	}
	if lacks != nil {
		a.lacks = lacks
	}
	if n <= end {
		return true, errors.Join(err, unproven)
	}
	return true, nil
}

// setLog makes entries the applied log. The caller holds mu.
func (a *Agent) setLog(entries []rollout.Entry, log *rollout.Log) {
	if p := a.kept.promise; p == nil || !log.Last().Before(p.Generation) {
		a.kept = kept{} // what was promised or barred has a number that the log has now passed
	}
	a.kept.entries, a.lacks, a.unsaved = entries, nil, true
	a.log.Store(log)
	close(a.changed)
	a.changed = make(chan struct{})
}
