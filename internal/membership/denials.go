package membership

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/rpc"
)

// fromMember reports whether the call of a handler's context has come from a
// process of the site.
func fromMember(ctx context.Context) bool {
	info := rpc.CallInfoFrom(ctx)
	if info == nil {
		return true // by a function call
	}
	p := info.From()
	return p.Site || p.Member
}

// denials counts what other processes have asked for and did not get, as it
// takes a proof that they did not have, and says each kind once a minute.
type denials struct {
	log *slog.Logger

	mu    sync.Mutex
	count map[string]int64
	said  map[string]time.Time
}

const denialsEvery = time.Minute

func (r *denials) say(ctx context.Context, what string, err error) {
	from := callerOf(ctx)
	peer := strings.TrimSpace(from.Addr.String() + " " + from.Owner)
	now := time.Now()
	r.mu.Lock()
	if r.count == nil {
		r.count, r.said = map[string]int64{}, map[string]time.Time{}
	}
	r.count[what]++
	count, last := r.count[what], r.said[what]
	due := last.IsZero() || now.Sub(last) >= denialsEvery
	if due {
		r.said[what] = now
	}
	r.mu.Unlock()
	if due {
		r.log.Warn("a process has asked for what it may not, and was refused", "what", what, "peer", peer, "reason",
			err, "refused", count)
	}
}

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

// callerOf is the other end of the call of a handler's context; its zero value
// is a function call.
func callerOf(ctx context.Context) rpc.PeerInfo {
	if info := rpc.CallInfoFrom(ctx); info != nil {
		return info.From()
	}
	return rpc.PeerInfo{}
}

// counts are the denials by kind.
func (r *denials) counts() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int64{}
	for what, n := range r.count {
		out[refusal.DeniedPrefix+what] = n
	}
	return out
}
