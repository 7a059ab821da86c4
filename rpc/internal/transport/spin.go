package transport

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	spinFor   = 80 * time.Microsecond  // time that a reader spins
	spinShort = 150 * time.Microsecond // a wait that spinning may shorten
	spinBytes = 8 << 10                // of the last read: after more, other goroutines have work
	spinTrust = 16                     // highest score: short waits minus the cost of failed spins
	spinCost  = 8                      // what a failed spin subtracts from the score
	spinTry   = 256                    // one wait in this many spins although sleeping is quicker
)

// spinning is set while one reader of this process spins.
var spinning atomic.Bool

// spin decides how a connection's reader waits for bytes that come soon: the reply to a lone
// caller, and that caller's next call. Falling asleep and waking takes longer than such a wait. The
// reader therefore spins for a moment before it sleeps, and lets other runnable goroutines go
// first.
//
// Each failed spin lowers a score and each short sleep raises it. The reader spins
// only while the score is positive and spinning is measurably faster than
// sleeping, which it is not in a process that calls itself.
type spin struct {
	able  bool      // more than one processor
	on    bool      // spinning
	tried bool      // has spun during this wait
	since time.Time // when the wait began; zero = the reader does not wait
	last  int       // bytes of the last read

	trust       int           // the score, -spinCost to spinTrust; spins above 0
	waits       uint          // waits for which spinning was considered, for spinTry
	slept, spun time.Duration // averages of short waits asleep, and of successful spins
}

func newSpin() spin {
	return spin{able: runtime.GOMAXPROCS(0) > 1, trust: -spinCost, slept: spinShort}
}

// again reports whether to look again after finding no bytes.
func (s *spin) again() bool {
	now := time.Now()
	switch {
	case s.on && now.Sub(s.since) >= spinFor:
		s.stop()
		s.trust = max(s.trust-spinCost, -spinCost)
		return false
	case s.on:
	default:
		s.since = now
		if !s.worth() || !spinning.CompareAndSwap(false, true) {
			return false
		}
		s.on, s.tried = true, true
	}
	runtime.Gosched()
	return true
}

// worth reports whether to spin now.
func (s *spin) worth() bool {
	if !s.able || s.last > spinBytes || s.trust <= 0 {
		return false
	}
	s.waits++
	return s.spun < s.slept || s.waits%spinTry == 0
}

// came records that n bytes have come, and the duration of the wait.
func (s *spin) came(now time.Time, n int) {
	if s.last = n; s.since.IsZero() {
		return
	}
	wait := now.Sub(s.since)
	switch {
	case s.on:
		s.trust = min(s.trust+1, spinTrust)
		s.spun += (wait - s.spun) / 8
		s.stop()
	case !s.tried && wait < spinShort:
		s.trust = min(s.trust+1, spinTrust)
		s.slept += (wait - s.slept) / 8
	}
	s.since, s.tried = time.Time{}, false
}

func (s *spin) stop() {
	s.on = false
	spinning.Store(false)
}
