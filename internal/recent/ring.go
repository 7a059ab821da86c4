package recent

import (
	"sync/atomic"
	"time"
)

const (
	// Window is how far the records reach back, at most. They do so in whole slices of a histogram.
	Window = 300
	slots  = Window + histSlice + 6 // seconds that a ring holds

	busyUnit  = 64 * time.Microsecond
	busyBits  = 26
	countBits = 20
	lapShift  = busyBits + countBits
	mostBusy  = 1<<busyBits - 1<<22
	longBusy  = 1 << 20 // a longer call counts as this one
	mostCount = 1<<countBits - 1<<10
)

func second(at time.Duration) int64 { return int64(at / time.Second) }

// lap tells the seconds of one slot apart; 0 is no second's. It comes again after 2.8 years.
func lap(second int64) uint64 { return uint64(second/slots+1) & (1<<(64-lapShift) - 1) }

// ring counts the calls of each second: lap, count, and the time that they took, in one word.
type ring [slots]atomic.Uint64

func (r *ring) add(second int64, took time.Duration) {
	slot, tag := &r[second%slots], lap(second)
	busy := min(uint64(max(took, 0)+busyUnit/2)/uint64(busyUnit), longBusy)
	for {
		old := slot.Load()
		switch at := old >> lapShift; {
		case at == tag:
			n := old & (1<<lapShift - 1)
			if n>>busyBits >= mostCount {
				return
			}
			if n&(1<<busyBits-1) >= mostBusy {
				busy = 0
			}
			slot.Add(1<<busyBits | busy)
			return
		case at > tag:
			return // the second is out of the window
		}
		if slot.CompareAndSwap(old, tag<<lapShift|1<<busyBits|busy) {
			return
		}
	}
}

// at returns what a second has counted.
func (r *ring) at(second int64) (calls int64, busy time.Duration) {
	v := r[second%slots].Load()
	if v>>lapShift != lap(second) {
		return 0, 0
	}
	v &= 1<<lapShift - 1
	return int64(v >> busyBits), time.Duration(v&(1<<busyBits-1)) * busyUnit
}

func (r *ring) idle(last int64) bool {
	for s := max(0, last-slots+1); s <= last; s++ {
		if n, _ := r.at(s); n > 0 {
			return false
		}
	}
	return true
}
