package rpc

import (
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
)

// Breaker refuses calls to a service at once while most of them fail. Callers then do not wait for
// calls that will fail, and the service can recover. The zero value has the defaults.
type Breaker struct {
	Off    bool          // never refuse
	Ratio  int           // percent of calls that must fail; 0 means 50
	Calls  int           // with fewer calls in the window, the breaker stays closed; 0 means 20
	Window time.Duration // over which calls are counted; 0 means 10 s
}

// trialEvery is how often an open breaker lets one call through.
const trialEvery = int64(time.Second)

// breakerCells is the number of parts of the window. The oldest part leaves the window as a whole.
const breakerCells = 10

// breaker is closed or open. An open breaker lets one call through each second, the trial, and the
// first trial that succeeds closes it. Calls take no lock and allocate nothing. It is safe for
// concurrent use. Times are nanoseconds of any clock that never goes back. A nil breaker is always
// closed.
type breaker struct {
	ratio, calls, width int64
	next                atomic.Int64 // when the next trial may go; 0 = closed
	cells               [breakerCells]atomic.Uint64
}

func newBreaker(c Breaker) *breaker {
	if c.Off {
		return nil
	}
	b := &breaker{ratio: 50, calls: 20, width: int64(10*time.Second) / breakerCells}
	if c.Ratio > 0 {
		b.ratio = int64(c.Ratio)
	}
	if c.Calls > 0 {
		b.calls = int64(c.Calls)
	}
	if c.Window > 0 {
		b.width = max(1, int64(c.Window)/breakerCells)
	}
	return b
}

// allow reports whether a call may go, and whether it is a trial. The caller
// passes trial on to record.
func (b *breaker) allow(now int64) (ok, trial bool) {
	if b == nil {
		return true, false
	}
	next := b.next.Load()
	if next == 0 {
		return true, false
	}
	won := now >= next && b.next.CompareAndSwap(next, now+trialEvery)
	return won, won
}

// breakerChange is the effect of a result on a breaker.
type breakerChange uint8

const (
	unchanged breakerChange = iota
	opened
	closed
)

// record counts the outcome of a call and returns the change that it caused, so that one caller
// logs it. An open breaker ignores all results except those of trials: the other calls began before
// it opened.
func (b *breaker) record(now int64, o health.Outcome, trial bool) breakerChange {
	if b == nil {
		return unchanged
	}
	works, fails := judge(o)
	switch {
	case !works && !fails:
	case trial:
		if works {
			return b.close()
		}
	case b.next.Load() == 0:
		b.count(now, fails)
		if fails && b.tooMany(now) && b.next.CompareAndSwap(0, now+trialEvery) {
			return opened
		}
	}
	return unchanged
}

// judge returns what an outcome shows about the service. A declared exception counts as an answer.
// Refusals and cancellations show nothing, because the handler did not run to its end.
func judge(o health.Outcome) (works, fails bool) {
	switch o {
	case health.OK, health.AppError:
		return true, false
	case health.Timeout, health.Connect, health.Broken, health.Internal:
		return false, true
	}
	return false, false
}

func (b *breaker) close() breakerChange {
	for i := range b.cells {
		b.cells[i].Store(0)
	}
	if b.next.Swap(0) == 0 {
		return unchanged
	}
	return closed
}

// A cell packs three numbers into one word: the number of its part of the window
// (24 bits), the calls in that part (20) and the failures among them (20).
const (
	cellBits = 20
	cellMax  = 1<<cellBits - 1
	partMax  = 1<<24 - 1
)

func packCell(part, calls, failures uint64) uint64 {
	return part<<(2*cellBits) | calls<<cellBits | failures
}

func unpackCell(w uint64) (part, calls, failures uint64) {
	return w >> (2 * cellBits), w >> cellBits & cellMax, w & cellMax
}

func (b *breaker) count(now int64, failed bool) {
	tick := now / b.width
	cell, part := &b.cells[tick%breakerCells], uint64(tick)&partMax
	for {
		old := cell.Load()
		p, calls, failures := unpackCell(old)
		if p != part {
			calls, failures = 0, 0
		}
		if calls == cellMax { // keeps the ratio
			calls, failures = calls/2, failures/2
		}
		calls++
		if failed {
			failures++
		}
		if cell.CompareAndSwap(old, packCell(part, calls, failures)) {
			return
		}
	}
}

// tooMany sums the window and reports whether the breaker must open.
func (b *breaker) tooMany(now int64) bool {
	tick := uint64(now / b.width)
	var calls, failures uint64
	for i := range b.cells {
		p, c, f := unpackCell(b.cells[i].Load())
		if (tick-p)&partMax < breakerCells {
			calls, failures = calls+c, failures+f
		}
	}
	return int64(calls) >= b.calls && int64(failures)*100 >= b.ratio*int64(calls)
}
