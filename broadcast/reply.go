package broadcast

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/wire"
)

// onProbe answers at once: silence would be taken for death.
func (c *core) onProbe(now time.Time, q asker, from path) {
	if c.leaving {
		c.send(goodbye, &wire.Goodbye{Everything: new(true)}, outbound{to: []path{from}})
		return
	}
	if c.seen(now, q) > 8 || !c.answers.take(now) {
		c.stats.Rate++
		return
	}
	l := pack(c.registrations(now), c.base(), c.room(c.self)-32, nil)
	c.send(answer, &wire.Answer{Nonce: q.nonce, Listing: l}, outbound{to: []path{from}})
}

// onQuery answers once, however many ways the question came.
func (c *core) onQuery(now time.Time, in packet, q *wire.Query, from path, group bool) {
	exchange := q.GetExchange() // always unicast
	if c.leaving || !exchange && !c.offers(q.Services) {
		return
	}
	if c.seen(now, asker{in.sender, q.Nonce}) > 1 {
		c.stats.Duplicate++
		return
	}
	if exchange {
		if p := c.meet(in.sender, now); p != nil {
			p.contact = true
			if p.state != live {
				c.hint(p, from, now)
			}
		}
	}
	if exchange || !group {
		c.answer(now, q, from, nil)
		return
	}
	c.answerSoon(now, in.sender, q, from)
}

func (c *core) offers(services []string) bool {
	if len(services) == 0 {
		return len(c.own) > 0
	}
	for id := range c.own {
		if slices.Contains(services, id.Service) {
			return true
		}
	}
	return false
}

func (c *core) answer(now time.Time, q *wire.Query, to path, ask *int64) {
	if c.leaving {
		return
	}
	room := c.room(c.self) - 32
	listings := []*wire.Listing{pack(c.registrations(now), c.base(), room, q.Services)}
	if q.GetParts() {
		listings = packParts(c.registrations(now), c.base(), room, q.Services)
	}
	for _, l := range listings {
		if !c.answers.take(now) {
			c.stats.Rate++
			return
		}
		a := &wire.Answer{Nonce: q.Nonce, Listing: l, Ask: ask}
		if q.GetExchange() {
			a.Peers = c.acquaintances(to, room-size(l))
		}
		c.send(answer, a, outbound{to: []path{to}})
	}
}

// acquaintances are addresses of live peers that the asker may be able to
// reach, in random order, as many as fit.
func (c *core) acquaintances(asker path, room int) []string {
	var out []string
	for _, p := range c.peers { // map order is random enough
		if p.state != live {
			continue
		}
		for _, w := range p.paths {
			a := w.addr.Addr()
			if a.Zone() != "" || a.IsLinkLocalUnicast() || a.IsLoopback() && !asker.addr.Addr().IsLoopback() || w.addr == asker.addr {
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

// seen counts how often a question has come lately.
func (c *core) seen(now time.Time, q asker) int {
	if now.Sub(c.rotated) > nonceLife || len(c.recent[0]) >= maxPeers {
		c.recent[1], c.recent[0] = c.recent[0], map[asker]int{}
		c.rotated = now
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
