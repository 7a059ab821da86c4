package broadcast

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/wire"
)

// onProbe answers at once, because silence would count as death.
func (c *core) onProbe(now time.Time, in packet, q *wire.Probe, from path) {
	if c.countQuery(now, queryKey{in.sender, q.Nonce}) > 8 || !c.answers.take(now) {
		c.stats.Rate++
		return
	}
	if c.leaving {
		c.send(goodbye, &wire.Goodbye{Everything: new(true), Nonce: &q.Nonce}, outbound{to: []path{from}})
		return
	}
	room := c.allowance(in.size, in.size, proofHead, from, now) // the sender may be probed in turn
	l := pack(c.registrations(now), c.base(), room, q.Services)
	c.cut(l, from, now)
	c.send(answer, &wire.Answer{Nonce: q.Nonce, Listing: l}, outbound{to: []path{from}})
}

// cut counts an answer that would be longer if its address were proven.
func (c *core) cut(l *wire.Listing, to path, now time.Time) {
	if !l.GetComplete() && !c.addrValidated(to.addr.Addr(), now) {
		c.stats.Cut++
	}
}

// onQuery answers once, however many copies of the query come.
func (c *core) onQuery(now time.Time, in packet, q *wire.Query, from path, group bool) {
	exchange := q.GetExchange() // always unicast
	if c.leaving || !exchange && !c.offers(q.Services) {
		return
	}
	if c.countQuery(now, queryKey{in.sender, q.Nonce}) > 1 {
		c.stats.Duplicate++
		return
	}
	w := pendingQuery{by: in.sender, query: q, from: from, size: in.size}
	if exchange {
		if p := c.addPeer(in.sender, from, now); p != nil {
			p.contact = true
			if p.state != live {
				w.spent = c.hint(p, from, amplify*in.size/2, now)
			}
		}
	}
	if q.GetParts() && !c.addrValidated(from.addr.Addr(), now) {
		w.spent += c.probeSize()
		c.holdQuery(w, now)
	}
	if exchange || !group {
		c.answer(now, w, nil)
		return
	}
	c.scheduleAnswer(now, w)
}

// holdQuery keeps a query with a long answer until its address has answered.
func (c *core) holdQuery(w pendingQuery, now time.Time) {
	if _, ok := c.heldQueries[w.from.addr]; ok || len(c.heldQueries) >= coalesceMost || !c.hints.take(now) {
		c.stats.Rate++
		return
	}
	c.heldQueries[w.from.addr] = w
	nonce := c.nonce()
	c.await(nonce, w.by, []path{w.from}, now)
	c.send(probe, &wire.Probe{Nonce: nonce}, outbound{to: []path{w.from}})
	c.at(now.Add(burstGap), func(time.Time) { delete(c.heldQueries, w.from.addr) })
}

// releaseHeld sends the held answers to an address that has answered.
func (c *core) releaseHeld(at path, now time.Time) {
	if w, ok := c.heldQueries[at.addr]; ok {
		delete(c.heldQueries, at.addr)
		c.answer(now, w, nil)
	}
}

func (c *core) offers(services []string) bool {
	if len(services) == 0 {
		return len(c.offered) > 0
	}
	for id := range c.offered {
		if slices.Contains(services, id.Service) {
			return true
		}
	}
	return false
}

func (c *core) answer(now time.Time, w pendingQuery, ask *int64) {
	if c.leaving {
		return
	}
	q, room := w.query, c.allowance(w.size, w.spent, answerHead, w.from, now)
	listings := []*wire.Listing{pack(c.registrations(now), c.base(), room, q.Services)}
	if q.GetParts() {
		listings = packParts(c.registrations(now), c.base(), room, q.Services)
		if !c.addrValidated(w.from.addr.Addr(), now) { // the others when it has answered
			listings = listings[:min(1, len(listings))]
		}
	}
	for _, l := range listings {
		if !c.answers.take(now) {
			c.stats.Rate++
			return
		}
		a := &wire.Answer{Nonce: q.Nonce, Listing: l, Ask: ask}
		if q.GetExchange() {
			a.Peers = c.acquaintances(w.from, room-size(l))
		}
		c.cut(l, w.from, now)
		c.send(answer, a, outbound{to: []path{w.from}})
	}
}

// acquaintances returns addresses of live peers that the querying process may be able to reach, in
// random order, as many as fit.
func (c *core) acquaintances(asker path, room int) []string {
	var out []string
	for p := range c.everyPeer() {
		if p.state != live {
			continue
		}
		for _, w := range p.paths {
			a := w.addr.Addr()
			if a.Zone() != "" || a.IsLinkLocalUnicast() || a.IsLoopback() && !asker.addr.Addr().IsLoopback() ||
				w.addr == asker.addr {
				continue
			}
			s := w.addr.String()
			if room -= len(s) + 2; room < 0 {
				return out
			}
			out = append(out, s)
			break
		}
	}
	return out
}

// countQuery returns how often a query has come lately.
func (c *core) countQuery(now time.Time, q queryKey) int {
	if now.Sub(c.recentRotated) > nonceLife || len(c.recent[0]) >= maxPeers {
		c.recent[1], c.recent[0] = c.recent[0], map[queryKey]int{}
		c.recentRotated = now
	}
	c.recent[0][q]++
	return c.recent[0][q] + c.recent[1][q]
}

// splitAddr is the reverse of net.JoinHostPort for addresses that it made.
func splitAddr(addr string) (host string, port int) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	port, _ = strconv.Atoi(p) // JoinHostPort wrote a number
	return host, port
}
