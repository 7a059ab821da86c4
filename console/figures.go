package console

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/recent"
)

// figures are the calls of something in a minute.
type figures struct {
	Calls   int64
	Failed  int64
	Kinds   map[string]int64
	Latency recent.Steps
	rate    float64
}

func (f *figures) add(o flow) {
	f.Calls += o.Calls
	f.Failed += o.Failed
	f.Latency.Sum(o.Latency)
	f.rate += cmp.Or(o.Rate, float64(o.Calls)/flowTime.Seconds())
	if len(o.Kinds) > 0 && f.Kinds == nil {
		f.Kinds = map[string]int64{}
	}
	for k, n := range o.Kinds {
		f.Kinds[k] += n
	}
}

// Rate is calls a second.
func (f figures) Rate() float64 { return f.rate }

// Share is the failed part of the calls in percent.
func (f figures) Share() float64 {
	if f.Calls == 0 {
		return 0
	}
	return 100 * float64(f.Failed) / float64(f.Calls)
}

// P99 is the latency that 99 of 100 calls do not exceed.
func (f figures) P99() time.Duration { return f.Latency.Quantile(0.99) }

// P50 is the median.
func (f figures) P50() time.Duration { return f.Latency.Quantile(0.5) }

// flowTime is the time in which the flows of a snapshot happened.
const flowTime = time.Minute

// tally adds flows up by a key; flows with the key "" are left out.
func tally[K comparable](flows []flow, key func(flow) (K, bool)) map[K]*figures {
	m := map[K]*figures{}
	for _, f := range flows {
		k, ok := key(f)
		if !ok {
			continue
		}
		if m[k] == nil {
			m[k] = &figures{}
		}
		m[k].add(f)
	}
	return m
}

// of returns the figures at a key, none without any.
func of[K comparable](m map[K]*figures, k K) figures {
	if f := m[k]; f != nil {
		return *f
	}
	return figures{}
}

// worse judges figures against those of an hour before.
type worse int

const (
	usual worse = iota
	little
	much
)

// A service got worse when clearly more of its calls fail, or they take clearly longer, than an hour before. One failed
// call, or ten slow ones, are no change.
const (
	littleShare = 0.3 // percent more
	muchShare   = 3
	fewCalls    = 30 // a minute; latencies of fewer say nothing
)

func compared(now, before figures, known bool) worse {
	more := now.Share() - before.Share()
	if !known {
		more = now.Share()
	}
	switch {
	case now.Failed > 1 && more >= muchShare:
		return much
	case now.Failed > 1 && more >= littleShare:
		return little
	}
	if known && now.Calls >= fewCalls && before.Calls >= fewCalls {
		switch a, b := now.P99(), before.P99(); {
		case a > 5*b && a > 100*time.Millisecond:
			return much
		case a > 2*b && a > 20*time.Millisecond:
			return little
		}
	}
	return usual
}

// sorted returns the keys of a map in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
