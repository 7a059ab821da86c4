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
	crowd      = 3                      // that many are a crowd
	crowdGap   = 200 * time.Millisecond // between two questions of a crowd, at most; its questions are gathered for so long
	crowdMost  = 256                    // questions gathered, at most
	crowdGrace = 400 * time.Millisecond // after which one of a crowd of strangers is asked by himself
)

// gathered is a question to everyone that waits for its answer.
type gathered struct {
	by    registry.Owner
	query *wire.Query
	from  path
	size  int // bytes of the question
	spent int // bytes that are sent to its address beside the answer
}

// askers are those who have asked everyone, without a gap of crowdGap.
type askers struct {
	last time.Time
	who  map[registry.Owner]struct{}
}

// crowded notes a question and reports whether it is one of a crowd's.
func (a *askers) crowded(now time.Time, by registry.Owner) bool {
	if a.who == nil || now.Sub(a.last) > crowdGap {
		a.who = map[registry.Owner]struct{}{}
	}
	a.last = now
	if len(a.who) < crowd {
		a.who[by] = struct{}{}
	}
	return len(a.who) >= crowd
}

// answerSoon answers a question to everyone after a short random time, or a
// little later when it is one of a crowd's.
func (c *core) answerSoon(now time.Time, w gathered) {
	c.waiting = append(c.waiting, w)
	hurried := c.askers.crowded(now, w.by)
	switch {
	case len(c.waiting) >= crowdMost:
		c.answerAll(now)
	case len(c.waiting) > 1: // the time is set
	case hurried:
		c.at(now.Add(c.jitter(crowdGap, 0.3)), c.answerAll)
	default:
		c.at(now.Add(c.spread()), c.answerAll)
	}
}

// answerAll answers what was gathered: a few one by one, a crowd at once.
func (c *core) answerAll(now time.Time) {
	waiting := c.waiting
	if len(waiting) == 0 { // all have been answered because they were many
		return
	}
	c.waiting = nil
	whole := pack(c.registrations(now), c.base(), c.room(c.self)-32, nil)
	ask := c.askBack(now)
	var together []int64
	crowded := len(waiting) >= crowd && whole.GetComplete() && c.mayTellAll(waiting, size(whole), now)
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
func (c *core) mayTellAll(waiting []gathered, bytes int, now time.Time) bool {
	asked := 0
	for _, w := range waiting {
		if p := c.peers[w.by]; p != nil && p.state == live {
			return true
		}
		asked += w.size
	}
	return bytes <= amplify*asked && c.crowds.take(now)
}

// meetCrowd says how long to wait before a new sender is asked by itself. Of a
// crowd all but the first have the time to answer what everyone is asked.
func (c *core) meetCrowd(now time.Time, from path) time.Duration {
	if c.strangers.crowd(now, from.addr.Addr()) {
		return crowdGrace + c.spread()
	}
	return c.spread()
}

// askBack is a question that goes with answers, nil while there are no
// strangers: who asks has just come, and is one as often as not.
func (c *core) askBack(now time.Time) *int64 {
	if c.places.n == 0 || now.Sub(c.askedBack) < crowdGap/4 {
		return nil
	}
	c.askedBack = now
	return new(c.newQuery(now, true))
}

// wantedAll are the services to ask for when all that is wanted is asked for.
func (c *core) wantedAll() []string {
	if c.all {
		return []string{registry.AllServices}
	}
	return slices.Sorted(maps.Keys(c.wanted))
}
