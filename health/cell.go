package health

import (
	"sync/atomic"
	"time"
)

// Cell counts the calls of one [Key]. Callers get it once, by [Recorder.Cell], and keep it. A nil
// *Cell counts nothing.
type Cell struct {
	key     Key
	forward atomic.Pointer[Cell] // not nil once the recorder has evicted this cell: counts go there

	outcomes [outcomeCount]atomic.Int64
	sum      atomic.Int64 // nanoseconds
	max      atomic.Int64 // nanoseconds, of this period
	hist     liveHistogram

	copies atomic.Pointer[Cell] // of calls, by the outcomes that they would have; nil: there was none

	bytes *atomic.Int64 // that the recorder's cells take; nil: not counted
	block int64         // bytes of an octave, including its copies elsewhere

	// The recorder owns these, under its mutex.
	seen counts // counts that earlier periods have taken
	idle int    // periods without a call
}

// Record counts one call. It may be called from any goroutine and takes no lock. It allocates only
// when a latency falls into an octave that is new for this cell, at most 28 times in its life.
func (c *Cell) Record(o Outcome, latency time.Duration) {
	if c == nil {
		return
	}
	if f := c.forward.Load(); f != nil {
		c = f
	}
	if int(o) >= outcomeCount {
		o = Internal
	}
	latency = max(latency, 0)
	c.outcomes[o].Add(1)
	if o.ofPolicy() {
		return
	}
	c.sum.Add(int64(latency))
	if c.hist.add(latency) && c.bytes != nil {
		c.bytes.Add(c.block)
	}
	for m := c.max.Load(); int64(latency) > m && !c.max.CompareAndSwap(m, int64(latency)); {
		m = c.max.Load()
	}
}

// RecordCopy counts a call that belongs to a copy of another call (mirror in the site's policy). o is what it would
// have been as a call. Copies are held against no version and no instance, and their latencies stand apart: see
// Recorder.VisitCopies.
func (c *Cell) RecordCopy(o Outcome, latency time.Duration) {
	if c == nil {
		return
	}
	if f := c.forward.Load(); f != nil {
		c = f
	}
	if o.Failed() && !o.ofPolicy() {
		c.Record(MirrorFailed, latency)
	} else {
		c.Record(Mirrored, latency)
	}
	copies := c.copies.Load()
	if copies == nil {
		made := &Cell{key: c.key, bytes: c.bytes, block: blockBytes}
		if c.copies.CompareAndSwap(nil, made) && c.bytes != nil {
			c.bytes.Add(cellBytes)
		}
		copies = c.copies.Load()
	}
	copies.Record(o, latency)
}

// cellBytes is about the memory of a cell without its octaves: the cell, its earlier counts, its
// pending counts for sinks, and their places in maps.
const cellBytes = 2 << 10

// size is about the memory of the cell, with all data that is kept for it.
func (c *Cell) size() int64 {
	n := int64(cellBytes + len(c.key.Service) + len(c.key.Method) + len(c.key.Peer) + len(c.key.Version))
	for octave := range c.hist {
		if c.hist[octave].Load() != nil {
			n += c.block
		}
	}
	if copies := c.copies.Load(); copies != nil {
		n += copies.size()
	}
	return n
}

// counts are the counts of a cell, as plain numbers.
type counts struct {
	outcomes [outcomeCount]int64
	sum, max int64
	hist     histogram
}

// take returns the counts since the last take.
func (c *Cell) take() counts {
	var d counts
	for o := range c.outcomes {
		n := c.outcomes[o].Load()
		d.outcomes[o] = n - c.seen.outcomes[o]
	}
	d.sum = c.sum.Load() - c.seen.sum
	d.max = c.max.Swap(0)
	for octave := range c.hist {
		block := c.hist[octave].Load()
		if block == nil {
			continue
		}
		for step := range block {
			n := block[step].Load()
			if c.seen.hist[octave] != nil {
				n -= c.seen.hist[octave][step]
			}
			if n > 0 {
				d.hist.add(octave, step, n)
			}
		}
	}
	c.seen.merge(&d)
	return d
}

func (c *counts) merge(o *counts) {
	for i, n := range o.outcomes {
		c.outcomes[i] += n
	}
	c.sum += o.sum
	c.max = max(c.max, o.max)
	c.hist.merge(&o.hist)
}

func (c *counts) empty() bool { return c.outcomes == [outcomeCount]int64{} }

func (c *counts) row(k Key, from, to time.Time) Row {
	slowest := time.Duration(c.max)
	return Row{
		Key: k, From: from, To: to, Outcomes: c.outcomes,
		Sum: time.Duration(c.sum), Max: slowest,
		P50: min(c.hist.quantile(0.50), slowest),
		P99: min(c.hist.quantile(0.99), slowest),
	}
}
