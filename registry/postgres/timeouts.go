package postgres

import "time"

// pingAfter is how long a session waits for a notification before it pings. It grows with the site
// beyond a hundred processes, so that pings do not keep the database busy.
func pingAfter(processes int64) time.Duration {
	return min(max(waitTime, waitTime*time.Duration(processes)/100), 4*waitTime)
}

// reconnectPauses returns the shortest and longest pause between two attempts to connect. They grow
// with the site: all of its processes lose a server at the same moment, and each connection costs
// the server some milliseconds. The longest stays below half of settle, the time in which leases
// settle after an outage.
func reconnectPauses(processes int64, settle time.Duration) (first, last time.Duration) {
	n := time.Duration(processes)
	last = min(max(5*time.Second, n*15*time.Millisecond), 15*time.Second, settle/2)
	return min(max(100*time.Millisecond, n*5*time.Millisecond), 5*time.Second, last), last
}

// limit is how long a statement may take: stmtTime, longer while the server
// has not answered in time.
func (r *Registry) limit() time.Duration {
	return max(stmtTime, time.Duration(r.slowness.Load()))
}

// raiseLimit doubles the limit of statements after one that timed out.
func (r *Registry) raiseLimit() { r.slowness.Store(int64(min(2*r.limit(), limitMost))) }

// resetLimit returns to stmtTime when a beat was answered quickly.
func (r *Registry) resetLimit(took time.Duration) {
	if took < stmtTime/2 {
		r.slowness.Store(0)
	}
}
