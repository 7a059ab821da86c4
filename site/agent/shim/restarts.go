package shim

import (
	"slices"
	"time"
)

// The pace of restarts.
const (
	firstDelay  = time.Second
	maxDelay    = time.Minute
	forgetAfter = 5 * time.Minute  // up for so long: earlier ends are forgotten
	loopWindow  = 10 * time.Minute // loopEnds within it are a crash loop
	loopEnds    = 5
)

// Restarts decides when a program that has ended is started again: at once, then after 1 s, doubling to 60 s. The
// zero value has seen no end. The agent paces starts of shims by it too.
type Restarts struct {
	ends  []time.Time // within loopWindow, at most loopEnds
	delay time.Duration
	tries int
}

// Ended notes an end at a time, after the program ran for a time, and returns the delay of the next start. jitter is
// in [0, 1); it shortens a delay by up to a fifth, so that the instances of a host do not start in step.
func (r *Restarts) Ended(now time.Time, ran time.Duration, jitter float64) time.Duration {
	if ran >= forgetAfter {
		*r = Restarts{}
	}
	r.ends = slices.DeleteFunc(r.ends, func(t time.Time) bool { return now.Sub(t) > loopWindow })
	r.ends = append(r.ends, now)
	if len(r.ends) > loopEnds {
		r.ends = r.ends[1:]
	}
	switch r.tries++; r.tries {
	case 1:
		return 0
	case 2:
		r.delay = firstDelay
	default:
		r.delay = min(2*r.delay, maxDelay)
	}
	return r.delay - time.Duration(jitter*float64(r.delay)/5)
}

// CrashLooping reports five ends in ten minutes. up is the time for which the program has run since the last, 0 if it
// does not run.
func (r *Restarts) CrashLooping(up time.Duration) bool {
	return len(r.ends) == loopEnds && r.ends[loopEnds-1].Sub(r.ends[0]) <= loopWindow && up < forgetAfter
}
