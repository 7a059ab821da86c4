package fse

import (
	"time"

	"github.com/skerry/skerry/bench/sim"
)

// edges is version consistency with future and past edges, set up on demand.
// From the moment at which the edges are valid, a request that may have used
// the target stays with the old version, any other meets the new one; the old
// one is free when no component that may have used it can use it again.
type edges struct {
	*site
	valid time.Duration
}

// setUp computes when the edges are valid: the question goes up to the
// components that depend on the target, each waits for all that it calls,
// creates its edges, which are acknowledged, and confirms.
func setUp(s *site) edges {
	deepest := time.Duration(0)
	for _, r := range s.requests {
		deepest = max(deepest, s.distance(r.service))
	}
	return edges{s, asked + 2*deepest + 2*sim.FSE.Delay}
}

// past reports whether the request may have used the target when the edges
// became valid: of sub-transactions that are over only the graph is known.
func (e edges) past(t *timeline) bool {
	if t.begin >= e.valid {
		return false
	}
	if t.service == e.target || t.end < e.valid {
		return e.graph.Reaches(t.service, e.target)
	}
	for _, c := range t.calls {
		if e.past(c.timeline) {
			return true
		}
	}
	return false
}

// future is when the target has heard that the request can't need it any
// more: what running transactions will call is known exactly, and a call that
// was made is the callee's affair.
func (e edges) future(t *timeline) time.Duration {
	if t.service == e.target {
		return t.end
	}
	var last time.Duration
	for _, c := range t.calls {
		if e.graph.Reaches(c.timeline.service, e.target) {
			last = max(last, c.sent+e.distance(t.service), e.future(c.timeline))
		}
	}
	return last
}

// free is when the old version may go. It does not depend on what becomes of
// the requests without a past, so it is the same for both strategies.
func (e edges) free() time.Duration {
	free := e.valid
	for _, r := range e.requests {
		if r.begin < e.valid && r.end >= e.valid && e.past(r) {
			free = max(free, e.future(r))
		}
	}
	return free
}

// concurrent lets both versions run. Requests lose time only while the edges
// are set up: what begins or ends then waits.
func (e edges) concurrent() result {
	var lost time.Duration
	for _, r := range e.requests {
		r.each(func(t *timeline) { lost += e.held(t.service, t.begin) + e.held(t.service, t.end) })
	}
	return result{e.free() - asked, lost}
}

// held is how long a component makes an event wait until its edges are valid.
func (e edges) held(service int, at time.Duration) time.Duration {
	valid := e.valid - e.distance(service)
	if from := asked + e.distance(service); !e.graph.Reaches(service, e.target) || at < from || at >= valid {
		return 0
	}
	return valid - at
}

// blocking makes requests without a past wait before the target until the new
// version is there.
func (e edges) blocking() result {
	r := e.concurrent()
	free := e.free()
	for _, request := range e.requests {
		if request.begin < e.valid && e.past(request) {
			continue
		}
		if at := e.arrival(request); at >= e.valid && at < free {
			r.disruption += min(free, request.end) - at
		}
	}
	return r
}

// arrival is when the request comes to the target for the first time.
func (e edges) arrival(t *timeline) time.Duration {
	first := watched
	t.each(func(t *timeline) {
		if t.service == e.target {
			first = min(first, t.begin)
		}
	})
	return first
}
