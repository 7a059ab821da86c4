package broadcast

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// When power returns to a site, each host queries all. A host that answers by unicast must first
// resolve the address (ARP), by a packet to all: at a hundred hosts five thousand packets at each.
// Queries that come together therefore get one broadcast as answer, and of many strangers only a
// few are probed one by one.
const (
	coalesceFrom  = 3                      // queries from which answers are sent as one broadcast
	coalesceGap   = 200 * time.Millisecond // longest gap between them, and the time in which they are gathered
	coalesceMost  = 256                    // queries gathered, at most
	strangerGrace = 400 * time.Millisecond // before one of many strangers is probed by unicast
)

// pendingQuery is a query to all that waits for its answer.
type pendingQuery struct {
	by    registry.Owner
	query *wire.Query
	from  path
	size  int // bytes of the query
	spent int // bytes that go to its address beside the answer
}

// queriers are the processes that have queried all, without a gap of coalesceGap.
type queriers struct {
	last   time.Time
	owners map[registry.Owner]struct{}
}

// many adds a query and reports whether enough of them have come together.
func (a *queriers) many(now time.Time, by registry.Owner) bool {
	if a.owners == nil || now.Sub(a.last) > coalesceGap {
		a.owners = map[registry.Owner]struct{}{}
	}
	a.last = now
	if len(a.owners) < coalesceFrom {
		a.owners[by] = struct{}{}
	}
	return len(a.owners) >= coalesceFrom
}

// scheduleAnswer schedules the answer to a query to all after a short random time, or a little
// later when many have come together.
func (c *core) scheduleAnswer(now time.Time, w pendingQuery) {
	c.pending = append(c.pending, w)
	hurried := c.queriers.many(now, w.by)
	switch {
	case len(c.pending) >= coalesceMost:
		c.answerPending(now)
	case len(c.pending) > 1: // the time is set already
	case hurried:
		c.at(now.Add(c.jitter(coalesceGap, 0.3)), c.answerPending)
	default:
		c.at(now.Add(c.spread()), c.answerPending)
	}
}

// answerPending answers the gathered queries: a few by unicast, many by one broadcast.
func (c *core) answerPending(now time.Time) {
	waiting := c.pending
	if len(waiting) == 0 { // all were answered by a broadcast
		return
	}
	c.pending = nil
	whole := pack(c.registrations(now), c.base(), c.room(c.self)-32, nil)
	ask := c.queryBack(now)
	var together []int64
	crowded := len(waiting) >= coalesceFrom && whole.GetComplete() && c.mayAnswerGroup(waiting, size(whole), now)
	for _, w := range waiting {
		switch p := c.peers[w.by]; {
		case crowded && !w.query.GetDirect():
			together = append(together, w.query.Nonce)
		case p != nil && p.state == unproven:
			c.answer(now, w, ask)
		default:
			c.answer(now, w, nil)
		}
	}
	const perNonce = 10 // bytes, at most
	most := max(1, (c.room(c.self)-32-size(whole))/perNonce)
	for nonces := range slices.Chunk(together, most) {
		switch {
		case c.leaving:
			return
		case !c.answers.take(now):
			c.stats.Rate++
			return
		}
		c.send(
			answer,
			&wire.Answer{Nonce: nonces[0], Nonces: nonces[1:], Listing: whole, Ask: ask},
			outbound{group: true},
		)
	}
}

// mayAnswerGroup reports whether queries may be answered by a broadcast. Recorded queries can come
// together as well. Without a known peer among the senders, few such answers are sent in a second,
// each at most three times as long as the queries.
func (c *core) mayAnswerGroup(waiting []pendingQuery, bytes int, now time.Time) bool {
	asked := 0
	for _, w := range waiting {
		if p := c.peers[w.by]; p != nil && p.state == live {
			return true
		}
		asked += w.size
	}
	return bytes <= amplify*asked && c.groupAnswers.take(now)
}

// strangerDelay is the time before a new sender is probed by unicast. Of many strangers, all but
// the first have the time to answer the query to all.
func (c *core) strangerDelay(now time.Time, from path) time.Duration {
	if c.strangers.many(now, from.addr.Addr()) {
		return strangerGrace + c.spread()
	}
	return c.spread()
}

// queryBack returns the nonce of a query that goes with answers, because a process that queries has
// often just started. It is nil while there are no strangers.
func (c *core) queryBack(now time.Time) *int64 {
	if c.unproven.n == 0 || now.Sub(c.queriedBack) < coalesceGap/4 {
		return nil
	}
	c.queriedBack = now
	return new(c.newQuery(now, true))
}

// wantedAll returns the services for a query for everything wanted.
func (c *core) wantedAll() []string {
	if c.all {
		return []string{registry.AllServices}
	}
	return slices.Sorted(maps.Keys(c.wanted))
}
