package rpc

import (
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// forkLog remembers pairs of logs that have parted. Calls do not exchange rules between such a pair
// again for a while.
type forkLog struct {
	mu   sync.Mutex
	seen map[[2]rollout.Position]forkSeen
}

// forkSeen is when calls last met a pair of logs, and when that was logged.
type forkSeen struct{ at, said time.Time }

const (
	forkFresh    = 5 * time.Second
	forkLogEvery = time.Minute // between two lines of the log about one pair
	forkMost     = 64
)

func (p *forkLog) known(here, there rollout.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, known := p.seen[[2]rollout.Position{here, there}]
	return known && time.Since(f.at) < forkFresh
}

// note reports whether to log the pair now.
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
