package broadcast

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// receive takes an authentic packet. group says that it came by broadcast or
// multicast.
func (c *core) receive(now time.Time, in packet, from path, group bool) {
	if in.sender == c.self {
		c.stats.Own++
		return
	}
	p := c.peers[in.sender]
	if p != nil && p.state != unproven {
		if !p.window.admit(in.seq) {
			if now.Sub(p.lastNew) < burstGap {
				c.stats.Duplicate++ // another way of the same datagram
			} else {
				c.stats.Replay++
			}
			return
		}
		if in.seq == p.window.top {
			p.lastNew = now
		}
		if group {
			p.groupAt = now
		}
		c.reached = c.reached || group
		if in.kind != probe && p.state == live {
			p.path(from)
		}
	}
	switch body := in.body.(type) {
	case *wire.Probe:
		c.onProbe(now, asker{in.sender, body.Nonce}, from)
		c.returnHint(now, p, in.sender, from)
	case *wire.Query:
		c.onQuery(now, in, body, from, group)
	case *wire.Announce:
		c.onAnnounce(now, in, body.Listing, from, group)
	case *wire.Answer:
		c.onAnswer(now, in, body, from, group)
	case *wire.Goodbye:
		c.onGoodbye(now, in, body)
	case *wire.Alarm:
		c.onAlarm(now, p, body)
	}
}

// otherWay takes a copy of a datagram that has just come another way: somebody
// who still has to prove itself is asked on both.
func (c *core) otherWay(sender registry.Owner, from path) {
	if sender == c.self {
		c.stats.Own++
		return
	}
	c.stats.Duplicate++
	if p := c.peers[sender]; p != nil && p.state == unproven {
		p.path(from)
	}
}

// onAnnounce believes a known peer; anyone else's announcement may be a
// recording, so it is only a reason to ask.
func (c *core) onAnnounce(now time.Time, in packet, l *wire.Listing, from path, group bool) {
	p := c.peers[in.sender]
	if p != nil && p.state == live {
		c.proved(p, now)
		c.apply(p, l, in.seq, from, now)
		return
	}
	if !c.wantsAny(l) {
		c.stats.Unwanted++
		return
	}
	if p = c.meet(in.sender, now); p == nil {
		return
	}
	if group {
		p.groupAt, c.reached = now, true
	}
	c.hint(p, from, now)
}

// hint asks a sender to prove that it is there.
func (c *core) hint(p *peer, from path, now time.Time) {
	p.path(from)
	if p.ask != nil {
		return
	}
	delay := c.meetCrowd(now)
	if delay < time.Millisecond {
		c.begin(p, askHint, now)
		return
	}
	c.hintLater(p, delay, now)
}

func (c *core) hintLater(p *peer, delay time.Duration, now time.Time) {
	a := askHint
	a.nonce = c.nonce()
	p.ask = &a
	c.at(now.Add(delay), func(now time.Time) { c.step(p, &a, now) })
}

// wantsAny reports whether the listing has, or may have, what somebody here
// watches.
func (c *core) wantsAny(l *wire.Listing) bool {
	named := func(r *wire.Registration) bool { return c.wants(r.Name) }
	if slices.ContainsFunc(l.Registrations, named) || slices.ContainsFunc(l.Names, c.wants) {
		return true
	}
	return !l.GetComplete() && len(l.Names) == 0 && (c.all || len(c.wanted) > 0)
}

// onAnswer believes an answer that bears a nonce of ours.
func (c *core) onAnswer(now time.Time, in packet, a *wire.Answer, from path, group bool) {
	p := c.peers[in.sender]
	q, queried := c.queried(a, now)
	proof := queried || c.awaited(a.Nonce, in.sender, now)
	if !proof {
		c.onAnnounce(now, in, a.Listing, from, group) // late, or a recording
		return
	}
	if p == nil {
		if !c.wantsAny(a.Listing) && !(queried && !q.group) {
			c.stats.Unwanted++
			return
		}
		if p = c.meet(in.sender, now); p == nil {
			return
		}
	}
	if p.state == unproven && !queried && !p.contact && !c.wantsAny(a.Listing) {
		c.stats.Unwanted++
		c.forget(p)
		return
	}
	if p.state == unproven {
		p.window.begin(in.seq)
		p.lastNew = now
	}
	if queried && q.group {
		p.groupAt = now
	}
	p.path(from)
	c.proved(p, now)
	c.apply(p, a.Listing, in.seq, from, now)
	if queried && !q.group {
		c.visit(now, a.Peers)
	}
	if queried && a.IsSetAsk() && c.offers(nil) && c.seen(now, asker{in.sender, a.GetAsk()}) == 1 {
		c.answerSoon(now, in.sender, &wire.Query{Nonce: a.GetAsk()}, from)
	}
}

// queried finds the query of this process that an answer refers to.
func (c *core) queried(a *wire.Answer, now time.Time) (queried, bool) {
	if q, ok := c.queries[a.Nonce]; ok && now.Before(q.until) {
		return q, true
	}
	for _, nonce := range a.Nonces {
		if q, ok := c.queries[nonce]; ok && now.Before(q.until) {
			return q, true
		}
	}
	return queried{}, false
}

// visit asks the peers of a peer, each address once in a while.
func (c *core) visit(now time.Time, addrs []string) {
	var fresh []netip.AddrPort
	for _, s := range addrs {
		addr, err := netip.ParseAddrPort(s)
		if _, seen := c.visited[addr]; err != nil || seen || len(c.visited) >= maxPeers || c.knows(addr) {
			continue
		}
		c.visited[addr] = struct{}{}
		c.at(now.Add(10*burstGap), func(time.Time) { delete(c.visited, addr) })
		fresh = append(fresh, addr)
	}
	c.exchange(now, fresh...)
}

func (c *core) knows(addr netip.AddrPort) bool {
	for _, p := range c.peers {
		if p.state == live && slices.ContainsFunc(p.paths, func(w path) bool { return w.addr == addr }) {
			return true
		}
	}
	return false
}

func (c *core) onGoodbye(now time.Time, in packet, g *wire.Goodbye) {
	p := c.peers[in.sender]
	if p == nil || p.state != live {
		return // nobody here had it
	}
	if in.seq < p.stateSeq {
		return // it has listed something since
	}
	p.stateSeq = in.seq
	if g.GetEverything() {
		c.depart(p, registry.Withdrawn, now)
		c.become(p, left, now)
		p.ask = nil
		return
	}
	c.proved(p, now)
	for _, l := range g.Left {
		id := registry.ID{Service: l.Name, Version: l.GetVersion(), Epoch: p.owner.Epoch,
			Addr: net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))}
		if _, ok := p.list[id]; ok {
			delete(p.list, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Withdrawn, When: now})
		}
	}
}

// returnHint: who probes us has heard of us and, if it offers something, can
// be missing here only because its answers were lost. It is asked a little
// later, when those that did arrive have been dealt with. Who was taken for
// dead is back, and is asked at once.
func (c *core) returnHint(now time.Time, p *peer, sender registry.Owner, from path) {
	if p != nil && p.state == silent {
		c.hint(p, from, now)
		return
	}
	if p != nil || c.leaving || !c.all && len(c.wanted) == 0 {
		return
	}
	if p = c.meet(sender, now); p == nil {
		return
	}
	p.path(from)
	c.hintLater(p, burstGap/4, now)
}
