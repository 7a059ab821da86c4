package recent

import (
	"sync"
	"sync/atomic"
	"time"
)

// A latency has a place by its first two decimal digits: 100 steps of 0.1 ms up to 10 ms, then those of 1 ms up to
// 100 ms, and so on to 1,000 s.
const (
	histSlice  = 30 // seconds
	histSlices = Window/histSlice + 2
	decades    = 6
	steps      = 100
	firstStep  = 100 * time.Microsecond

	blockBytes = 4*steps + 16
	histBytes  = 8 * histSlices * decades
)

// histogram counts latencies for each slice of the window. Blocks are made at their first call, and used again for
// later slices.
type histogram [histSlices][decades]atomic.Pointer[block]

type block struct {
	slice  atomic.Int64 // number of its slice
	mu     sync.Mutex   // held to begin with another slice
	counts [steps]atomic.Uint32
}

// place finds decade and step of a latency.
func place(d time.Duration) (decade, step int) {
	n := int64(max(d, 0) / firstStep)
	for n >= steps && decade < decades-1 {
		n /= 10
		decade++
	}
	return decade, int(min(n, steps-1))
}

// Bound is the smallest latency of a place.
func bound(decade, step int) time.Duration {
	d := time.Duration(step) * firstStep
	for range decade {
		d *= 10
	}
	return d
}

func (h *histogram) add(r *Recorder, second int64, took time.Duration) {
	slice := second / histSlice
	decade, step := place(took)
	at := &h[slice%histSlices][decade]
	b := at.Load()
	if b == nil {
		if r.bytes.Load() >= mostBytes+mostBytes/2 {
			r.unkept.Add(1)
			return
		}
		b = &block{}
		b.slice.Store(slice)
		if at.CompareAndSwap(nil, b) {
			r.bytes.Add(blockBytes)
		} else if b = at.Load(); b == nil {
			return // it was emptied at this moment
		}
	}
	if now := b.slice.Load(); now != slice {
		if now > slice {
			return // it is out of the window
		}
		b.begin(slice)
	}
	b.counts[step].Add(1)
}

// begin clears a block for a later slice.
func (b *block) begin(slice int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slice.Load() >= slice {
		return
	}
	for i := range b.counts {
		b.counts[i].Store(0)
	}
	b.slice.Store(slice)
}

func (h *histogram) empty() {
	for s := range h {
		for d := range h[s] {
			h[s][d].Store(nil)
		}
	}
}

func (h *histogram) size() int64 {
	size := int64(histBytes)
	for s := range h {
		for d := range h[s] {
			if h[s][d].Load() != nil {
				size += blockBytes
			}
		}
	}
	return size
}

// Latencies are how many calls of a kind took how long.
type Latencies [decades * steps]int64

func (h *histogram) since(from, last int64) *Latencies {
	l := &Latencies{}
	for slice := from / histSlice; slice <= last/histSlice; slice++ {
		for decade := range decades {
			b := h[slice%histSlices][decade].Load()
			if b == nil || b.slice.Load() != slice {
				continue
			}
			for step := range b.counts {
				l[decade*steps+step] += int64(b.counts[step].Load())
			}
		}
	}
	return l
}

// Over returns how many calls took longer than a limit. inexact calls of them, or beside them, took about as long as
// the limit; 0 for a limit of two decimal digits.
func (l *Latencies) Over(limit time.Duration) (over, inexact int64) {
	decade, step := place(limit)
	at := decade*steps + step
	for i := at; i < len(l); i++ {
		over += l[i]
	}
	if low := bound(decade, step); low < limit {
		inexact = l[at]
	}
	return over, inexact
}
