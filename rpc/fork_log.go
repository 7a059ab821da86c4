package rpc

import (
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// forkLog remembers pairs of rule logs that have forked. For forkFresh after the last attempt, calls
// do not try to exchange rules between such a pair.
type forkLog struct {
	mu   sync.Mutex
	seen map[[2]rollout.Position]forkSeen
}

// forkSeen holds when an exchange between a pair of logs failed last, and when that was logged.
type forkSeen struct{ at, said time.Time }

const (
	forkFresh    = 5 * time.Second
	forkLogEvery = time.Minute // between two lines of the log about one pair
	forkMost     = 64          // pairs; one more makes forkLog forget all of them
)

// known reports whether an exchange between the two logs has failed within forkFresh.
func (p *forkLog) known(here, there rollout.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, known := p.seen[[2]rollout.Position{here, there}]
	return known && time.Since(f.at) < forkFresh
}

// note records that an exchange between the two logs failed, and reports whether to log that now.
func (p *forkLog) note(here, there rollout.Position) (say bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair, now := [2]rollout.Position{here, there}, time.Now()
	f, known := p.seen[pair]
	if p.seen == nil || !known && len(p.seen) >= forkMost {
		p.seen = map[[2]rollout.Position]forkSeen{}
	}
	if say = !known || now.Sub(f.said) >= forkLogEvery; say {
		f.said = now
	}
	f.at = now
	p.seen[pair] = f
	return say
}
