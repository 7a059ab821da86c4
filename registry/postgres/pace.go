package postgres

import (
	"errors"
	"time"
)

// patience is how long a session waits for news before it pings. A hundred
// processes ping every waitTime; more of them take longer, so that the database
// is not kept busy by being asked whether it is there.
func patience(processes int64) time.Duration {
	return min(max(waitTime, waitTime*time.Duration(processes)/100), 4*waitTime)
}

// pauses are those between two tries to connect. They grow with the site, as
// all of its processes lose a server at the same moment, and each connection
// costs it some milliseconds; the longest stays well below the time in which
// leases settle after an outage, however short the intervals are.
func pauses(processes int64, settle time.Duration) (first, last time.Duration) {
	n := time.Duration(processes)
	last = min(max(5*time.Second, n*15*time.Millisecond), 15*time.Second, settle/2)
	return min(max(100*time.Millisecond, n*5*time.Millisecond), 5*time.Second, last), last
}

// limit is how long a statement may take: stmtTime, longer while the server
// has not answered in time.
func (r *Registry) limit() time.Duration {
	return max(stmtTime, time.Duration(r.slowness.Load()))
}

// overdue notes that an answer did not come in time.
func (r *Registry) overdue() { r.slowness.Store(int64(min(2*r.limit(), limitMost))) }

// answered notes how long a beat has taken.
func (r *Registry) answered(took time.Duration) {
	if took < stmtTime/2 {
		r.slowness.Store(0)
	}
}

// keptFree is how many connections the processes of a site leave to others, and
// to those of them who come for a moment.
const keptFree = 1

// errCrowded ends a session whose connection others need.
var errCrowded = errors.New("the database has no connection left for others")

// visits reports whether this process comes for each beat only.
func (r *Registry) visits() bool { return r.visiting.Load() }

// asksForRoom reports whether a beat is to look how many connections are left,
// even at a large site.
func (s *session) asksForRoom() bool {
	s.beats++
	return !s.r.isPlain() && (s.r.visits() || s.beats%30 == 0)
}

// room notes how many connections the server still takes; nil: not asked.
func (s *session) room(free *int64) {
	if free == nil {
		return
	}
	s.crowded = *free < keptFree
	if !s.crowded && s.r.visiting.Swap(false) {
		s.next = time.Now() // it stays, and listens from now on
		s.r.log.Debug("the database has connections again; this process keeps one")
	}
}
