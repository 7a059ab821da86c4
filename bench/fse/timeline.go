package fse

import (
	"math/rand/v2"
	"time"

	"github.com/skerry/skerry/bench/sim"
)

// timeline is one (sub-)transaction of a request with its times.
type timeline struct {
	service    int
	begin, end time.Duration
	calls      []call
}

// call is a sub-transaction, and when its caller has sent it.
type call struct {
	sent     time.Duration
	timeline *timeline
}

// follow computes the course of work that begins at a time. Calls are made one
// after the other, each in a step of its own.
func follow(w *sim.Work, begin time.Duration) *timeline {
	t := &timeline{service: w.Service, begin: begin}
	now := begin + w.Pause
	for _, step := range w.Steps {
		attempt := step[0].Attempts[0]
		c := call{sent: now, timeline: follow(step[0].Work, now+attempt.There)}
		t.calls = append(t.calls, c)
		now = c.timeline.end + attempt.Back + w.Pause
	}
	t.end = now
	return t
}

// each visits the transaction and all below it.
func (t *timeline) each(visit func(*timeline)) {
	visit(t)
	for _, c := range t.calls {
		c.timeline.each(visit)
	}
}

// The request to update comes at the instant asked, when the site has long
// been in full swing, and the site is watched until watched.
const (
	asked   = 8_000 * sim.Unit
	watched = 16_000 * sim.Unit
)

// site is one configuration: a graph, a target, and the requests, each with
// what it would do if nothing was updated.
type site struct {
	graph    *sim.Graph
	target   int
	requests []*timeline
}

const meanInterval = 25 * sim.Unit // between two requests at one component

func newSite(seed uint64, size int) *site {
	rng := rand.New(rand.NewPCG(seed, uint64(size)))
	s := &site{graph: sim.ScaleFree(rng, size)}
	for s.target = rng.IntN(size); len(s.graph.Callers(s.target)) == 0; {
		s.target = rng.IntN(size)
	}
	for _, entry := range s.graph.Entries {
		for at := sim.Poisson(rng, meanInterval); at < watched; at += sim.Poisson(rng, meanInterval) {
			if work := sim.FSE.Draw(rng, s.graph, entry); s.graph.Reaches(entry, s.target) {
				s.requests = append(s.requests, follow(work, at)) // no other request can matter
			}
		}
	}
	return s
}

// distance is the time that news take from a component to the target, or
// back, from hop to hop along the longest way.
func (s *site) distance(service int) time.Duration {
	return time.Duration(s.graph.Steps(service, s.target)) * sim.FSE.Delay
}

// result is what one update cost.
type result struct {
	timeliness time.Duration
	disruption time.Duration
}
