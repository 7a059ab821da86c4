package postgres

import (
	"errors"
	"time"
)

// keptFree is the number of the server's connections that the site's processes leave free, for
// other users and for processes that connect for a beat only.
const keptFree = 1

// errScarce ends a session because the server has no connection left.
var errScarce = errors.New("the database has no connection left for others")

// visits reports whether this process connects for each beat only.
func (r *Registry) visits() bool { return r.visiting.Load() }

// checksConnections reports whether a beat counts the free connections even at a large site: every
// beat of a process that connects for beats only, else every 30th.
func (s *session) checksConnections() bool {
	s.beats++
	return !s.r.isPlain() && (s.r.visits() || s.beats%30 == 0)
}

// noteFree records how many connections the server still takes; nil when the beat did not ask.
func (s *session) noteFree(free *int64) {
	if free == nil {
		return
	}
	s.scarce = *free < keptFree
	if !s.scarce && s.r.visiting.Swap(false) {
		s.next = time.Now() // the session stays, and listens from now on
		s.r.log.Debug("the database has connections again; this process keeps one")
	}
}
