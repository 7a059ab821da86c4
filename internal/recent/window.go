package recent

import (
	"maps"
	"slices"
	"time"
)

// Records are what a recorder knows about the last minutes.
type Records struct {
	Seconds int     // the records cover these, the running one included
	Whole   bool    // the recorder is as old as was asked for
	Kinds   []Calls // those with calls
	Samples []Sample
	Running []int64 // most calls that were served at a time, of each second
	Now     time.Duration
	Unkept  int64 // latencies that are in no histogram
}

// Calls are those of one kind.
type Calls struct {
	Key
	Outcomes  [Outcomes]int64
	PerSecond []int64         // of all outcomes
	Busy      []time.Duration // that they took together, by the second in which they began
	Latencies *Latencies      // nil: the recorder had no room for them
}

// Sum is the number of calls.
func (c *Calls) Sum() (n int64) {
	for _, m := range c.Outcomes {
		n += m
	}
	return n
}

// Last returns the records of the last seconds, up to Window. They begin with a slice of the histograms, so they cover
// up to 30 s more.
func (r *Recorder) Last(seconds int) Records {
	now := time.Since(r.begun)
	last := second(now)
	from := last + 1 - int64(min(max(seconds, 1), Window))
	whole := from >= 0
	from = max(from, 0) / histSlice * histSlice
	out := Records{Seconds: int(last-from) + 1, Whole: whole, Now: now, Unkept: r.unkept.Load()}
	r.mu.RLock()
	kinds := slices.Collect(maps.Values(r.kinds))
	r.mu.RUnlock()
	for _, k := range kinds {
		if c := k.since(from, last); c.Sum() > 0 {
			out.Kinds = append(out.Kinds, c)
		}
	}
	for i := range r.samples {
		out.Samples = append(out.Samples, r.samples[i].since(from)...)
	}
	for s := from; s <= last; s++ {
		mark := r.running[s%slots].Load()
		if mark>>lapShift != lap(s) {
			mark = 0
		}
		out.Running = append(out.Running, int64(mark&(1<<lapShift-1)))
	}
	return out
}

func (k *Kind) since(from, last int64) Calls {
	c := Calls{Key: k.key}
	for o := range k.rings {
		ring := k.rings[o].Load()
		if ring == nil {
			continue
		}
		if c.PerSecond == nil {
			c.PerSecond = make([]int64, last-from+1)
			c.Busy = make([]time.Duration, last-from+1)
		}
		for s := from; s <= last; s++ {
			n, busy := ring.at(s)
			c.Outcomes[o] += n
			c.PerSecond[s-from] += n
			c.Busy[s-from] += busy
		}
	}
	if k.hist != nil {
		c.Latencies = k.hist.since(from, last)
	}
	return c
}
