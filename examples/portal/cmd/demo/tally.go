package main

import (
	"slices"
	"sync"
	"time"
)

// call is one call anywhere in the site, as seen by its caller.
type call struct {
	service  string
	instance string // host:port; "" when none was chosen
	ended    time.Time
	took     time.Duration
	version  string // that answered
	mixed    bool   // of a call to Portal: its calls met two versions of a service, or an old and a new service
	attempts int    // instances tried; more than 1 after failed attempts
	failure  string // "" = answered; otherwise why not
	sent     bool   // of a failed call: it was sent, so its execution is unknown
}

// tally gathers calls from all the load's goroutines.
type tally struct {
	mu    sync.Mutex
	calls []call // in the order in which they were added
}

func (t *tally) add(calls ...call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, calls...)
}

// between returns the calls that ended from a moment on, until another.
func (t *tally) between(from, to time.Time) []call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var in []call
	for _, c := range t.calls {
		if !c.ended.Before(from) && c.ended.Before(to) {
			in = append(in, c)
		}
	}
	return in
}

// numbers are the columns of the table for a set of calls.
type numbers struct {
	calls, failures int
	p50, p99        time.Duration
}

func count(calls []call) numbers {
	var n numbers
	took := make([]time.Duration, 0, len(calls))
	for _, c := range calls {
		n.calls++
		if c.failure != "" {
			n.failures++
			continue
		}
		took = append(took, c.took)
	}
	slices.Sort(took)
	n.p50, n.p99 = percentile(took, 50), percentile(took, 99)
	return n
}

// percentile of sorted durations; 0 when there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100]
}

// of returns the calls that went to an instance.
func of(calls []call, instance string) []call {
	var its []call
	for _, c := range calls {
		if c.instance == instance {
			its = append(its, c)
		}
	}
	return its
}
