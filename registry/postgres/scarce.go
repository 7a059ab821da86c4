package postgres

import (
	"errors"
	"time"
)

// keptFree is how many of the server's connections the processes of a site
// leave free, for other users and for processes that connect for a beat only.
const keptFree = 1

// errScarce ends a session because the server has no connection left.
var errScarce = errors.New("the database has no connection left for others")

// visits reports whether this process connects for each beat only.
func (r *Registry) visits() bool { return r.visiting.Load() }

// checksConnections reports whether a beat asks how many connections are left,
// even at a large site.
func (s *session) checksConnections() bool {
	s.beats++
	return !s.r.isPlain() && (s.r.visits() || s.beats%30 == 0)
}

// noteFree takes in how many connections the server still accepts; nil: the
// beat did not ask.
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
