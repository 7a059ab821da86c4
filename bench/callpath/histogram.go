package callpath

import (
	"math/bits"
	"time"
)

// histogram counts latencies in steps of 1/32 of an octave, so that a value
// read from it is at most 3 % off. It is small: 128 large ones in a client's
// heap would keep its garbage collector, and so its peer's costs, away.
type histogram [40 * 32]uint32

func (h *histogram) add(d time.Duration) {
	v := uint64(max(d, 32))
	octave := bits.Len64(v) - 6 // 0 for 32 to 63
	h[min(octave*32+int(v>>octave)-32, len(h)-1)]++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o {
		h[i] += n
	}
}

func (h *histogram) count() (n int64) {
	for _, c := range h {
		n += int64(c)
	}
	return n
}

// quantile is the latency that the share q of all did not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q * float64(h.count()))
	for i, c := range h {
		if left -= int64(c); left < 0 {
			octave := i / 32
			return time.Duration((2*(32+i%32) + 1) << octave / 2)
		}
	}
	return 0
}
