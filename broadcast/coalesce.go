package broadcast

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// When power returns to a site, everybody asks everybody. Who answers each one
// by itself must first ask where each one is (ARP), by a packet to all hosts: of
// a hundred that would be five thousand packets at each. So questions that come
// together are answered together, by one datagram to everyone, and of many who
// are heard for the first time only a few are asked by themselves.
const (
	coalesceFrom  = 3                      // that many are a crowd
	coalesceGap   = 200 * time.Millisecond // between two questions of a crowd, at most; its questions are gathered for so long
	coalesceMost  = 256                    // questions gathered, at most
	strangerGrace = 400 * time.Millisecond // after which one of a crowd of strangers is asked by himself
)

// gathered is a question to everyone that waits for its answer.
type pendingQuery struct {
	by    registry.Owner
	query *wire.Query
	from  path
	size  int // bytes of the question
	spent int // bytes that are sent to its address beside the answer
}

// askers are those who have asked everyone, without a gap of crowdGap.
type queriers struct {
	last   time.Time
	owners map[registry.Owner]struct{}
}

// crowded notes a question and reports whether it is one of a crowd's.
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

// answerSoon answers a question to everyone after a short random time, or a
// little later when it is one of a crowd's.
func (c *core) scheduleAnswer(now time.Time, w pendingQuery) {
	c.pending = append(c.pending, w)
	hurried := c.queriers.many(now, w.by)
	switch {
	case len(c.pending) >= coalesceMost:
		c.answerPending(now)
	case len(c.pending) > 1: // the time is set
	case hurried:
		c.at(now.Add(c.jitter(coalesceGap, 0.3)), c.answerPending)
	default:
		c.at(now.Add(c.spread()), c.answerPending)
	}
}

// answerAll answers what was gathered: a few one by one, a crowd at once.
func (c *core) answerPending(now time.Time) {
	waiting := c.pending
	if len(waiting) == 0 { // all have been answered because they were many
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
		c.send(answer, &wire.Answer{Nonce: nonces[0], Nonces: nonces[1:], Listing: whole, Ask: ask}, outbound{group: true})
	}
}

// mayTellAll reports whether a crowd may be answered by a packet to everyone.
// Recorded questions make a crowd, too: without a peer in it that is known,
// few such answers are given in a second, and none that is over three times
// the questions.
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

// meetCrowd says how long to wait before a new sender is asked by itself. Of a
// crowd all but the first have the time to answer what everyone is asked.
func (c *core) strangerDelay(now time.Time, from path) time.Duration {
	if c.strangers.many(now, from.addr.Addr()) {
		return strangerGrace + c.spread()
	}
	return c.spread()
}

// askBack is a question that goes with answers, nil while there are no
// strangers: who asks has just come, and is one as often as not.
func (c *core) queryBack(now time.Time) *int64 {
	if c.unproven.n == 0 || now.Sub(c.queriedBack) < coalesceGap/4 {
		return nil
	}
	c.queriedBack = now
	return new(c.newQuery(now, true))
}

// wantedAll are the services to ask for when all that is wanted is asked for.
func (c *core) wantedAll() []string {
	if c.all {
		return []string{registry.AllServices}
	}
	return slices.Sorted(maps.Keys(c.wanted))
}
