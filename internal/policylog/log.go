package policylog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Bounds of a log. The newest entry and its predecessor are kept whatever their size.
const (
	MaxEntries = 64
	maxBytes   = 4 << 20
)

// Log holds the newest entries that one process believes. It is immutable; the zero Log of a cluster is [NewLog].
type Log struct {
	cluster string
	entries []Entry // the winning one first
}

// NewLog returns the empty log of a cluster.
func NewLog(cluster string) *Log { return &Log{cluster: cluster} }

// Newest returns the entry that wins; ok is false for the empty log.
func (l *Log) Newest() (e Entry, ok bool) {
	if len(l.entries) == 0 {
		return Entry{}, false
	}
	return l.entries[0], true
}

// Entries returns all entries, the winning one first. The caller must not change the slice.
func (l *Log) Entries() []Entry { return l.entries }

// Find returns the entry of a hash.
func (l *Log) Find(hash string) (e Entry, ok bool) {
	i := slices.IndexFunc(l.entries, func(e Entry) bool { return e.Hash() == hash })
	if i < 0 {
		return Entry{}, false
	}
	return l.entries[i], true
}

// Next returns an entry that continues the log with a text, not yet sealed.
func (l *Log) Next(text string) Entry {
	e := Entry{Cluster: l.cluster, Number: 1, Text: text}
	if newest, ok := l.Newest(); ok {
		e.Number, e.Previous, e.On = newest.Number+1, newest.Hash(), newest.On
	}
	return e
}

// Merge returns the log with the entries that can be believed, and the reasons for those that can't. Entries that are
// known already are passed over before a signature is checked. afford is called before each check of a signature and
// may refuse it; nil allows all.
func (l *Log) Merge(t rollout.Trust, afford func() bool, entries ...Entry) (*Log, error) {
	var why error
	var fresh []Entry
	newest, _ := l.Newest()
	for _, e := range entries {
		switch {
		case slices.ContainsFunc(slices.Concat(l.entries, fresh), func(k Entry) bool { return k.Hash() == e.Hash() }):
		case e.Cluster != l.cluster:
			why = errors.Join(why, fmt.Errorf("entry %v: %w: %q, this one is %q", e, ErrForeign, e.Cluster, l.cluster))
		case e.Number > newest.Number+maxJump:
			why = errors.Join(why,
				fmt.Errorf("entry %v after %d: %w: the number is too far away", e, newest.Number, ErrEntry))
		default:
			fresh = append(fresh, e)
		}
	}
	slices.SortFunc(fresh, func(a, b Entry) int { return b.compare(a) })
	next := &Log{cluster: l.cluster, entries: slices.Clone(l.entries)}
	for _, e := range fresh { // the newest first, as it vouches for its predecessor
		if next.vouches(e) {
			next.entries = append(next.entries, e)
			continue
		}
		if _, err := rollout.CheckProofs(t, Purpose, e.Body(), e.proofs, afford); err != nil {
			why = errors.Join(why, fmt.Errorf("entry %v: %w", e, err))
			continue
		}
		next.entries = append(next.entries, e)
	}
	if len(next.entries) == len(l.entries) {
		return l, why
	}
	next.prune()
	return next, why
}

// vouches reports whether an entry of the log names this one as its predecessor.
func (l *Log) vouches(e Entry) bool {
	return slices.ContainsFunc(l.entries, func(k Entry) bool { return k.Previous == e.Hash() })
}

// prune sorts the entries and drops the oldest.
func (l *Log) prune() {
	slices.SortFunc(l.entries, func(a, b Entry) int { return b.compare(a) })
	if len(l.entries) == 0 {
		return
	}
	size, kept := 0, l.entries[:0:0]
	for i, e := range l.entries {
		size += len(e.Body())
		if i == 0 || e.Hash() == l.entries[0].Previous || len(kept) < MaxEntries && size <= maxBytes {
			kept = append(kept, e)
		}
	}
	l.entries = kept
}

// Current returns the entry that is in force in a process where the newest one has applied for a time: the one before
// it when it was to be confirmed and was not. ok is false when that one is not known here, or the log is empty: then
// the process goes on by what it obeys.
func (l *Log) Current(applied time.Duration) (e Entry, ok bool) {
	newest, ok := l.Newest()
	if !ok || newest.Confirm == 0 || applied < newest.Confirm {
		return newest, ok
	}
	return l.Before(newest)
}

// Before returns the entry to which the site goes back from e: its nearest predecessor that needed no confirmation.
// Those that needed one are passed over, as each either went back by itself or stands in a further entry. The result is
// the entry of number 0 when there was no policy before e. ok is false when the entry is not known here.
func (l *Log) Before(e Entry) (before Entry, ok bool) {
	for e.Previous != "" {
		if e, ok = l.Find(e.Previous); !ok || e.Confirm == 0 {
			return e, ok
		}
	}
	return Entry{Cluster: l.cluster}, true
}

// Lost is an entry that was not taken further, and the one of its number that was.
type Lost struct {
	Entry Entry
	To    Entry
}

// Lost returns the entries that were written at once with others and lost, the newest first.
func (l *Log) Lost() (out []Lost) {
	line := map[string]bool{}
	won := map[uint64]Entry{}
	newest, ok := l.Newest()
	for e := newest; ok; e, ok = l.Find(e.Previous) {
		line[e.Hash()], won[e.Number] = true, e
	}
	for _, e := range l.entries {
		if line[e.Hash()] {
			continue
		}
		if to, known := won[e.Number]; known { // else it is older than what is held of the line
			out = append(out, Lost{e, to})
		}
	}
	return out
}
