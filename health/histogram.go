package health

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The histogram is log-linear: each octave (a doubling of the latency) has 32 equal steps. A value
// is reported as the middle of its step, which is at most 1/64 (1.6 %) away from it. Below 1.024 µs
// the steps are 32 ns. Most cells use a handful of octaves, so an octave's 256 bytes are allocated
// at its first use.
const (
	stepBits  = 5
	steps     = 1 << stepBits
	firstBits = 10                             // octave 0 holds everything below 2^10 ns
	lastBits  = 37                             // the last octave ends at 2^37 ns, 137 s; longer latencies count as that
	octaves   = lastBits - firstBits + 1       // 28
	longest   = time.Duration(1<<lastBits) - 1 // upper bound of recorded latencies
)

// place finds the octave and the step of a latency.
func place(d time.Duration) (octave, step int) {
	v := uint64(min(max(d, 0), longest))
	n := bits.Len64(v)
	if n <= firstBits {
		return 0, int(v >> (firstBits - stepBits))
	}
	return n - firstBits, int(v>>(n-1-stepBits)) & (steps - 1)
}

// bounds is the inverse of place: the step holds low <= d < low+width.
func bounds(octave, step int) (low, width time.Duration) {
	if octave == 0 {
		width = 1 << (firstBits - stepBits)
		return time.Duration(step) * width, width
	}
	base := time.Duration(1) << (firstBits - 1 + octave)
	width = base >> stepBits
	return base + time.Duration(step)*width, width
}

// liveHistogram is written by every call.
type liveHistogram [octaves]atomic.Pointer[[steps]atomic.Uint64]

// add counts a latency, and reports whether it is the first in its octave.
func (h *liveHistogram) add(d time.Duration) (fresh bool) {
	octave, step := place(d)
	block := h[octave].Load()
	if block == nil {
		fresh = h[octave].CompareAndSwap(nil, new([steps]atomic.Uint64))
		block = h[octave].Load()
	}
	block[step].Add(1)
	return fresh
}

const blockBytes = 8 * steps // of an octave

// histogram is a copy that one goroutine owns.
type histogram [octaves]*[steps]uint64

func (h *histogram) add(octave, step int, n uint64) {
	if h[octave] == nil {
		h[octave] = new([steps]uint64)
	}
	h[octave][step] += n
}

// merge adds o to h.
func (h *histogram) merge(o *histogram) {
	for octave, block := range o {
		if block == nil {
			continue
		}
		for step, n := range block {
			if n > 0 {
				h.add(octave, step, n)
			}
		}
	}
}

func (h *histogram) count() uint64 {
	var sum uint64
	for _, block := range h {
		if block == nil {
			continue
		}
		for _, n := range block {
			sum += n
		}
	}
	return sum
}

// quantile is the latency that the share q of all calls did not exceed, 0 without calls.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.count()
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	if float64(rank) < q*float64(total) || rank == 0 {
		rank++
	}
	var seen uint64
	for octave, block := range h {
		if block == nil {
			continue
		}
		for step, n := range block {
			if seen += n; seen >= rank {
				low, width := bounds(octave, step)
				return low + width/2
			}
		}
	}
	return longest
}

// within counts the latencies of at most d, as exactly as the steps allow.
func (h *histogram) within(d time.Duration) int64 {
	last, lastStep := place(d)
	var sum uint64
	for octave := 0; octave <= last; octave++ {
		if h[octave] == nil {
			continue
		}
		for step, n := range h[octave] {
			if octave == last && step > lastStep {
				break
			}
			sum += n
		}
	}
	return int64(sum)
}
