package skerry

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/rollout"
)

// trust is whom this process believes about the rules of its site.
type trust struct{}

// Signer is rollout.Trust.
func (t *trust) Signer(rollout.Purpose, string, rollout.Proof) (string, error) { return "", nil }

func (t *trust) open() bool { return true }

// siteSigner signs by the site's key; nil where operators' keys do, or where
// there is no key.
func (t *trust) siteSigner() rollout.Signer { return nil }

// fromMember reports whether the call of a handler's context has come from a
// process of the site.
func (n *Node) fromMember(context.Context) bool { return true }

// bucket bounds how often something is done in a second.
type bucket struct {
	rate, burst float64

	mu   sync.Mutex
	left float64
	last time.Time
}

func newBucket(rate, burst float64) *bucket { return &bucket{rate: rate, burst: burst, left: burst} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.left = min(b.burst, b.left+b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
