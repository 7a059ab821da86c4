package broadcast

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// receive handles an authentic packet. group says that it came by broadcast or multicast. It
// returns false when a copy of the packet that comes another way must be handled as well.
func (c *core) receive(now time.Time, in packet, from path, group bool) bool {
	if in.sender == c.self {
		c.hearSelf(now, in, from)
		return true
	}
	p := c.peers[in.sender]
	q := c.question(now, in)
	if q != nil && slices.Contains(q.at, from) {
		c.validateAddr(from.addr.Addr(), now)
		c.releaseHeld(from, now)
	}
	if p != nil && p.state != unproven {
		if taken, again := c.admit(p, q, in, from, now); !taken {
			return !again
		}
		if group {
			p.groupAt = now
		}
		c.groupHeard = c.groupHeard || group
	}
	switch body := in.body.(type) {
	case *wire.Probe:
		c.onProbe(now, in, body, from)
		c.returnHint(now, p, in, from)
	case *wire.Query:
		c.onQuery(now, in, body, from, group)
	case *wire.Announce:
		c.onAnnounce(now, in, body.Listing, from, group)
	case *wire.Answer:
		c.onAnswer(now, in, body, q, from, group)
	case *wire.Goodbye:
		c.onGoodbye(now, in, body, from, q != nil)
	case *wire.Alarm:
		c.onSuspicion(now, p, body, group)
	}
	return true
}

// question returns the probe or query to the sender alone that a packet answers.
func (c *core) question(now time.Time, in packet) *awaitedProbe {
	switch body := in.body.(type) {
	case *wire.Answer:
		return c.awaited(body.Nonce, in.sender, now)
	case *wire.Goodbye:
		if body.IsSetNonce() {
			return c.awaited(body.GetNonce(), in.sender, now)
		}
	}
	return nil
}

// admit decides whether a packet of a known peer counts; again says that its copies may. The first
// answer to a question q counts whatever its number. Another process with the key can use a number
// ahead, and can't answer.
func (c *core) admit(p *peer, q *awaitedProbe, in packet, from path, now time.Time) (taken, again bool) {
	fresh := q != nil && !q.used
	if fresh {
		q.used = true
	}
	known := p.state != live || p.knows(from)
	switch {
	case fresh && (p.replay.tooFar(in.seq) || p.replay.old(in.seq)):
		p.replay.restart(in.seq)
		p.stateSeq = min(p.stateSeq, in.seq)
	case p.replay.tooFar(in.seq):
		c.stats.Sequence++
		c.refuse(now, errSequence, from.addr)
		c.probeDoubtful(p, now)
		return false, false
	case p.replay.old(in.seq):
		if now.Sub(p.lastNew) < burstGap && !p.replay.past(in.seq) {
			c.stats.Duplicate++ // a copy of the same datagram
			return false, false
		}
		c.stats.Replay++
		if known && p.replay.past(in.seq) {
			c.probeDoubtful(p, now)
		}
		return false, false
	case !known && q == nil:
		if in.kind == probe || in.kind == query {
			return true, true // it gets an answer, and shows nothing about the peer
		}
		c.considerPath(p, from, in, now)
		return false, true
	default:
		p.replay.admit(in.seq)
	}
	if in.seq == p.replay.top {
		p.lastNew = now
	}
	switch {
	case q != nil && slices.Contains(q.at, from), known && p.state == live && in.kind != probe:
		c.learnPath(p, from, now)
	case !known:
		c.considerPath(p, from, in, now)
	}
	return true, false
}

// probeDoubtful probes, at a bounded rate, a peer with sequence numbers that do not fit: another
// process may have used its name. The answer shows the right numbers.
func (c *core) probeDoubtful(p *peer, now time.Time) {
	if p.state == live && now.Sub(p.doubted) >= 10*burstGap {
		p.doubted = now
		c.beginProbes(p, doubtSeries, now)
	}
}

// hearSelf handles a packet in the name of this process, mostly an own one that comes back. When
// this process did not send it, or it would remove this process from lists, it announces itself.
func (c *core) hearSelf(now time.Time, in packet, from path) {
	g, bye := in.body.(*wire.Goodbye)
	if bye {
		bye = g.GetEverything() || slices.ContainsFunc(g.Left, c.offersLeft)
	}
	switch {
	case in.seq > c.seq:
		c.stats.OwnName++
		c.refuse(now, errOwnName, from.addr)
		c.refute(now)
	case bye:
		c.stats.Own++
		c.refute(now)
	default:
		c.stats.Own++
	}
}

// offersLeft reports whether this process offers a registration that a goodbye removes.
func (c *core) offersLeft(l *wire.Left) bool {
	_, ok := c.offered[registry.ID{Service: l.Name, Version: l.GetVersion(), Epoch: c.self.Epoch,
		Addr: net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))}]
	return ok
}

// onCopy handles a copy of a recent datagram. A sender that is not proven yet is probed at both
// addresses.
func (c *core) onCopy(sender registry.Owner, from path) {
	if sender == c.self {
		c.stats.Own++
		return
	}
	c.stats.Duplicate++
	if p := c.peers[sender]; p != nil && p.state == unproven {
		p.suggest(from)
	}
}

// onAnnounce believes a known peer. An announcement of an unknown sender may be a recording, so it
// only causes a probe.
func (c *core) onAnnounce(now time.Time, in packet, l *wire.Listing, from path, group bool) {
	p := c.peers[in.sender]
	if p != nil && p.state == live {
		c.markAlive(p, now)
		c.apply(p, l, in, from, false, now)
		return
	}
	if !c.wantsAny(l) {
		c.stats.Unwanted++
		return
	}
	if p = c.addPeer(in.sender, from, now); p == nil {
		return
	}
	p.said = max(p.said, in.size)
	if group {
		p.groupAt, c.groupHeard = now, true
	}
	c.hint(p, from, amplify*in.size, now)
}

// hint probes a sender that is not proven yet, with at most so many bytes. It returns the bytes
// that the probe may take.
func (c *core) hint(p *peer, from path, bytes int, now time.Time) int {
	p.point(from)
	if p.probing != nil {
		return 0
	}
	each := max(c.probeSize(), padProbe(p.said))
	series := hintSeries
	series.left = max(1, min(series.left, bytes/each))
	delay := c.strangerDelay(now, from)
	if delay < time.Millisecond {
		c.beginProbes(p, series, now)
	} else {
		c.hintLater(p, series, delay, now)
	}
	return series.left * each
}

func (c *core) hintLater(p *peer, series probeSeries, delay time.Duration, now time.Time) {
	series.nonce = c.nonce()
	p.probing = &series
	c.at(now.Add(delay), func(now time.Time) { c.stepProbes(p, &series, now) })
}

// wantsAny reports whether the listing has, or may have, a watched service.
func (c *core) wantsAny(l *wire.Listing) bool {
	named := func(r *wire.Registration) bool { return c.wants(r.Name) }
	if slices.ContainsFunc(l.Registrations, named) || slices.ContainsFunc(l.Names, c.wants) {
		return true
	}
	return !l.GetComplete() && len(l.Names) == 0 && (c.all || len(c.wanted) > 0)
}

// onAnswer believes an answer with a nonce of this process. The nonce of a question to the peer
// alone (asked) is known only to that peer. The nonce of a query to all shows only that the answer
// is fresh.
func (c *core) onAnswer(now time.Time, in packet, a *wire.Answer, asked *awaitedProbe, from path, group bool) {
	q, queried := c.queried(a, now)
	if !queried && asked == nil {
		c.onAnnounce(now, in, a.Listing, from, group) // late, or a recording
		return
	}
	p := c.answering(now, in, a, queried, queried && !q.group, from)
	if p == nil {
		return
	}
	if p.state == unproven {
		p.replay.restart(in.seq)
		p.lastNew = now
	}
	if p.state != live { // other addresses are probed first
		p.paths = nil
		c.learnPath(p, from, now)
	}
	if p.state != live || asked != nil {
		p.seal = string(a.Listing.Seal)
	}
	if queried && q.group {
		p.groupAt = now
	}
	bye := asked != nil && p.probing != nil && p.probing.goodbye && p.probing.nonce == a.Nonce
	if bye {
		p.probing = nil
	}
	marked, overtaken := slices.Collect(maps.Keys(p.leaving)), in.seq < p.stateSeq
	c.markAlive(p, now)
	c.apply(p, a.Listing, in, from, asked != nil, now)
	if bye {
		c.denyLeave(p, p.all || p.kept(marked), now)
		if overtaken { // by a packet without the marked registrations
			c.at(now.Add(goodbyeSeries.every), func(now time.Time) { c.probeLeaving(p, now) })
		}
	}
	if queried && !q.group {
		c.visit(now, a.Peers, from)
	}
	if queried && a.IsSetAsk() && c.offers(nil) && c.countQuery(now, queryKey{in.sender, a.GetAsk()}) == 1 {
		back := &wire.Query{Nonce: a.GetAsk()}
		c.scheduleAnswer(now, pendingQuery{by: in.sender, query: back, from: from, size: in.size})
	}
}

// answering returns the peer that has sent an answer, or nil when the answer is useless here.
// queried says that it refers to a query, and direct that the query went to one address.
func (c *core) answering(now time.Time, in packet, a *wire.Answer, queried, direct bool, from path) *peer {
	p := c.peers[in.sender]
	switch {
	case p == nil && !c.wantsAny(a.Listing) && !direct:
		c.stats.Unwanted++
		return nil
	case p == nil:
		p = c.addPeer(in.sender, from, now)
	}
	if p != nil && p.state == unproven && !queried && !p.contact && !c.wantsAny(a.Listing) {
		c.stats.Unwanted++
		c.forget(p)
		return nil
	}
	return p
}

// queried finds the query of this process that an answer refers to.
func (c *core) queried(a *wire.Answer, now time.Time) (sentQuery, bool) {
	if q, ok := c.queries[a.Nonce]; ok && now.Before(q.until) {
		return q, true
	}
	for _, nonce := range a.Nonces {
		if q, ok := c.queries[nonce]; ok && now.Before(q.until) {
			return q, true
		}
	}
	return sentQuery{}, false
}

// visit queries the peers of a peer, each address at a bounded rate. Another process chose the
// addresses, so few are queried in a second.
func (c *core) visit(now time.Time, addrs []string, by path) {
	for _, s := range addrs {
		addr, err := netip.ParseAddrPort(s)
		_, seen := c.visited[addr]
		if err != nil || seen || len(c.visited) >= maxPeers || !visitable(addr, by) || c.knows(addr) {
			continue
		}
		c.visited[addr] = struct{}{}
		c.visitOne(now, addr)
	}
}

func (c *core) visitOne(now time.Time, addr netip.AddrPort) {
	if !c.visits.take(now) {
		c.at(now.Add(burstGap/2+c.random(burstGap)), func(now time.Time) { c.visitOne(now, addr) })
		return
	}
	c.at(now.Add(10*burstGap), func(time.Time) { delete(c.visited, addr) })
	c.exchange(now, addr)
}

// visitable reports whether an address can belong to a process.
func visitable(a netip.AddrPort, by path) bool {
	ip := a.Addr()
	return a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != all4 &&
		(!ip.IsLoopback() || by.addr.Addr().IsLoopback())
}

func (c *core) knows(addr netip.AddrPort) bool {
	for _, p := range c.peers {
		if p.state == live && slices.ContainsFunc(p.paths, func(w peerPath) bool { return w.addr == addr }) {
			return true
		}
	}
	return false
}

// returnHint handles a probe of a sender that is not listed. The sender knows this process. If it
// offers services, it is missing here only because its answers were lost. It is probed a little
// later, after those that did arrive have been handled. A silent peer is back, and is probed at
// once. The address may be forged, so except for a few in a second, the probes take no more bytes
// than the one received.
func (c *core) returnHint(now time.Time, p *peer, in packet, from path) {
	if p != nil && p.state == silent {
		bytes := in.size
		if p.knowsHost(from) { // it has answered there
			bytes = hintSeries.left * MaxPacket
		}
		c.hint(p, from, bytes, now)
		return
	}
	if p != nil || c.leaving || !c.all && len(c.wanted) == 0 {
		return
	}
	if p = c.addPeer(in.sender, from, now); p == nil {
		return
	}
	p.point(from)
	series := hintSeries
	if c.returns.take(now) {
		p.said = usualSize
	} else {
		series.left = max(1, min(series.left, in.size/c.probeSize()))
	}
	c.hintLater(p, series, burstGap/4, now)
}
