package discovery

import (
	"fmt"
	"time"

	"github.com/skerry/skerry/registry"
)

// State is the state of a member, in one word.
type State string

// The states, in the order of preference for calls.
const (
	OK       State = "ok"
	Warming  State = "warming"  // started lately: less than its full weight
	Suspect  State = "suspect"  // its connection broke or it does not answer; avoided
	Ejected  State = "ejected"  // three dials in a row have failed; avoided
	Leaving  State = "leaving"  // is stopping: called only while there is no other member
	Gone     State = "gone"     // has left, though a source still lists it; never called
	Excluded State = "excluded" // the consumer's rules or the member's weight keep calls away
	Drained  State = "drained"  // an operator has drained it (skerry drain): never called until it is put back

	// Elsewhere: the address (127.0.0.1) is valid on the member's own host only; never called.
	Elsewhere State = "elsewhere"
)

// Here reports whether this process can reach a member in this state.
func (s State) Here() bool { return s != Gone && s != Elsewhere }

// Well reports whether the state is good for calls.
func (s State) Well() bool { return s == OK || s == Warming }

// condition is the evidence of calls and connections about one member.
type condition struct {
	dialFails    int       // in a row
	suspectSince time.Time // zero: not suspect
	silent       bool      // suspect because it does not answer, not because of its connection
	ejectedUntil time.Time // zero: not ejected
	leavingSince time.Time // zero: not leaving
	why          string    // reason of the newest of these
}

// silence notes that the member does not answer, although it may be connected. It reports whether
// that is news.
func (c *condition) silence(now time.Time, why string) bool {
	c.silent = true
	return c.broke(now, why)
}

// broke notes that a connection broke. It reports whether that is news.
func (c *condition) broke(now time.Time, why string) bool {
	if !c.suspectSince.IsZero() {
		return false
	}
	c.suspectSince, c.why = now, why
	return true
}

// dialFailed notes a connection that could not be made, of which after in a row eject the member. It
// reports whether the member becomes suspect or ejected by it.
func (c *condition) dialFailed(now time.Time, after int, eject time.Duration, why string) bool {
	news := c.broke(now, why)
	c.dialFails++
	if c.dialFails >= after && !now.Before(c.ejectedUntil) {
		c.ejectedUntil = now.Add(eject)
		c.why = fmt.Sprintf("%d connections in a row failed: %s", c.dialFails, why)
		return true
	}
	return news
}

// answered notes a sign of life. A leaving member stays leaving.
func (c *condition) answered() { *c = condition{leavingSince: c.leavingSince, why: c.leavingWhy()} }

func (c *condition) leavingWhy() string {
	if c.leavingSince.IsZero() {
		return ""
	}
	return "said that it is stopping"
}

func (c *condition) leave(now time.Time) bool {
	if !c.leavingSince.IsZero() {
		return false
	}
	c.leavingSince = now
	c.why = c.leavingWhy()
	return true
}

// trust ends a suspicion that no probe can check. The next failed dial ejects at once.
func (c *condition) trust() {
	fails := min(c.dialFails, dialLimit-1)
	c.answered()
	c.dialFails = fails
}

func (c *condition) clean() bool {
	return c.suspectSince.IsZero() && c.ejectedUntil.IsZero() && c.leavingSince.IsZero()
}

// state is the state at a time; since and until are zero in states without them.
func (c *condition) state(now time.Time) (s State, since, until time.Time) {
	switch {
	case !c.leavingSince.IsZero():
		return Leaving, c.leavingSince, time.Time{}
	case now.Before(c.ejectedUntil):
		return Ejected, c.suspectSince, c.ejectedUntil
	case !c.suspectSince.IsZero():
		return Suspect, c.suspectSince, time.Time{}
	}
	return OK, time.Time{}, time.Time{}
}

// warmth is the share of its weight that an instance gets at a time. It rises in steps, so that
// views change rarely. next is the time of the next step, zero at the full weight.
func warmth(started, now time.Time, warmUp time.Duration) (share float64, next time.Time) {
	age := now.Sub(started)
	if started.IsZero() || warmUp <= 0 || age >= warmUp {
		return 1, time.Time{}
	}
	step := int64(max(age, 0)) * warmSteps / int64(warmUp)
	share = warmFloor + (1-warmFloor)*float64(step)/warmSteps
	return share, started.Add(warmUp * time.Duration(step+1) / warmSteps)
}

// sharply reports whether so many listed members have vanished that the source is not believed
// without probes: more than half.
func sharply(vanished, before int) bool { return vanished > 0 && 2*vanished > before }

// sameID compares identities without building them.
func sameID(a, b *registry.Instance) bool {
	return a.Port == b.Port && a.Owner.Epoch == b.Owner.Epoch && a.Host == b.Host &&
		a.Version == b.Version && a.Service == b.Service
}

// diff walks two lists in the order of registry.Compare and calls f for each
// instance of either: before or after is nil where it is missing there.
func diff(before, after []registry.Instance, f func(before, after *registry.Instance)) {
	i, j := 0, 0
	for i < len(before) && j < len(after) {
		b, a := &before[i], &after[j]
		if sameID(b, a) {
			f(b, a)
			i, j = i+1, j+1
			continue
		}
		if b.Compare(a) < 0 {
			f(b, nil)
			i++
		} else {
			f(nil, a)
			j++
		}
	}
	for ; i < len(before); i++ {
		f(&before[i], nil)
	}
	for ; j < len(after); j++ {
		f(nil, &after[j])
	}
}
