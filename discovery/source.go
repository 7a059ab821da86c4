package discovery

import (
	"slices"
	"time"

	"github.com/skerry/skerry/registry"
)

// sourceState is the last word of one source.
type sourceState struct {
	name     string
	answered bool // has given a list
	partial  bool
	lost     error
	read     time.Time
	list     []registry.Instance
	gone     map[registry.ID]time.Time // departures that have been handled
}

// departures picks the departures that are new and that a source has reported as such.
func (u *union) departures(src *sourceState, snap registry.Snapshot) map[registry.ID]registry.Departure {
	said := map[registry.ID]registry.Departure{}
	known := src.gone
	src.gone = make(map[registry.ID]time.Time, len(snap.Gone))
	for _, d := range snap.Gone {
		if at, ok := known[d.ID]; d.Kind != registry.Expired && (!ok || !at.Equal(d.When)) {
			said[d.ID] = d
		}
		src.gone[d.ID] = d.When
	}
	if len(said) > 0 {
		for _, in := range snap.Instances { // listed anew after it left
			delete(said, in.ID())
		}
	}
	return said
}

// vouched names a live source that can vouch for a complete list; "" when there is none.
func (u *union) vouched() string {
	for i := range u.sources {
		if s := &u.sources[i]; s.answered && !s.partial && s.lost == nil {
			return s.name
		}
	}
	return ""
}

// settled reports whether an empty list may be believed: every source has answered or had its time.
// Otherwise next is the time of the next check.
func (u *union) settled(now time.Time) (ok bool, next time.Time) {
	for i := range u.sources[:u.disk()] {
		s := &u.sources[i]
		limit := u.begun.Add(answerLimit)
		switch {
		case s.lost != nil || s.answered && !s.partial:
			continue
		case s.answered:
			limit = u.begun.Add(u.cfg.Settle)
			if u.refused { // the source answers, and the consumer's rules admit none of its instances
				limit = u.begun.Add(u.cfg.Settle / 6)
			}
		}
		if now.Before(limit) && (next.IsZero() || limit.Before(next)) {
			next = limit
		}
	}
	return next.IsZero(), next
}

// reviewDisk drops the list of the disk once a live source has answered; next is the time of the
// next check.
func (u *union) reviewDisk(now time.Time) (next time.Time) {
	src := &u.sources[u.disk()]
	if len(src.list) == 0 {
		return time.Time{}
	}
	vouched := u.vouched() != ""
	if !vouched {
		heard := slices.ContainsFunc(u.sources[:u.disk()],
			func(s sourceState) bool { return s.answered && s.lost == nil })
		if ripe := u.begun.Add(u.cfg.Settle); !heard {
			return time.Time{} // the next message of a source checks again
		} else if now.Before(ripe) {
			return ripe
		}
	}
	var lost []*member
	for i := range src.list {
		if m := u.unlist(u.disk(), &src.list[i]); m != nil && m.sources() == 0 {
			lost = append(lost, m)
		}
	}
	src.list = nil
	u.settleVanished(lost, Disk, !vouched, now)
	return time.Time{}
}
