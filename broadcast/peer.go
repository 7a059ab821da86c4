package broadcast

import (
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// state is this process's knowledge of a peer.
type state uint8

const (
	unproven state = iota // heard, and not yet shown to be more than a recording
	live
	silent // was probed and did not answer; probed again at growing intervals
	left   // said goodbye
)

// peer is another process on the LAN.
type peer struct {
	owner      registry.Owner
	state      state
	contact    bool       // has queried this process by unicast
	inUnproven bool       // it has a place among the unproven
	from       netip.Addr // address where it was first heard, which its place counts for
	paths      []peerPath
	seal       string // hash of the token of its last goodbye; "": unknown
	said       int    // bytes of the last packet with its listing
	replay     replayWindow
	lastNew    time.Time // when the packet with the highest number came
	heard      time.Time // when it last proved that it lives
	groupAt    time.Time // when broadcast was last seen to pass between it and this process
	since      time.Time // of the state
	stateSeq   uint64    // number of the packet with the newest listing
	hash       string    // of the listing that is complete here, "" = none
	partial    bool      // its listing does not fit in a packet
	list       map[registry.ID]registry.Instance
	probing    *probeSeries
	watching   bool // a timer checks the life of the entry

	candidates int       // addresses that will be probed whether they are the peer's
	doubted    time.Time // when it was last probed because of a sequence number
	suspicion
	leaveClaim
	longListing
}

// probeSeries is a series of probes under way.
type probeSeries struct {
	nonce   int64
	left    int
	sent    bool // one probe was sent
	every   time.Duration
	fatal   bool // silence, or refusal at every address, ends the peer
	raises  bool // the first probe without an answer, or a refusal, raises a suspicion
	quick   int  // probes left at this pace, when later ones are slower
	goodbye bool // it follows a goodbye

	services []string // to be named in the answer

	refused []path
}

// The series. A live peer is probed before it is dropped.
var (
	hintSeries      = probeSeries{left: 5, every: 150 * time.Millisecond}
	lateSeries      = probeSeries{left: 16, every: 400 * time.Millisecond, fatal: true} // the entry lives for 45 s more
	rivalSeries     = probeSeries{left: 6, every: 100 * time.Millisecond, fatal: true}
	suspectSeries   = probeSeries{left: 6, every: 100 * time.Millisecond, fatal: true, raises: true}
	suspicionSeries = probeSeries{left: 6, every: 80 * time.Millisecond, fatal: true}
	silentSeries    = probeSeries{left: 1, every: time.Second}
	returnSeries    = probeSeries{left: 8, every: 250 * time.Millisecond}
	doubtSeries     = probeSeries{left: 3, every: 200 * time.Millisecond}
	goodbyeSeries   = probeSeries{left: 9, quick: 6, every: 50 * time.Millisecond, fatal: true, goodbye: true}
)

// goodbyeLatePace is the pace of the last probes after a goodbye. Without an answer or a refusal
// the peer is off the lists after 6·50 + 3·400 ms.
const goodbyeLatePace = 400 * time.Millisecond

// addPeer returns the peer, and makes it if there is room.
func (c *core) addPeer(owner registry.Owner, from path, now time.Time) *peer {
	if p := c.peers[owner]; p != nil {
		return p
	}
	at := from.addr.Addr()
	switch {
	case len(c.peers) >= maxPeers, len(c.peers) >= maxPeers/2 && c.hosts[at] >= peersPerHost:
		c.stats.Full++
		c.refuse(now, errFull, from.addr)
		return nil
	case c.unproven.n >= maxUnproven:
		c.stats.Full++
		loser := c.unproven.evictable(at)
		c.refuse(now, errFull, netip.AddrPortFrom(loser.from, 0))
		c.forget(loser)
	}
	p := &peer{owner: owner, from: at, since: now, list: map[registry.ID]registry.Instance{}}
	c.peers[owner] = p
	c.hosts[at]++
	c.unproven.add(p)
	return p
}

func (c *core) forget(p *peer) {
	if c.peers[p.owner] != p {
		return
	}
	delete(c.peers, p.owner)
	if c.hosts[p.from]--; c.hosts[p.from] <= 0 {
		delete(c.hosts, p.from)
	}
	c.unproven.remove(p)
	p.probing = nil
}

func (c *core) setState(p *peer, s state, now time.Time) {
	c.unproven.remove(p) // a peer never becomes unproven again
	p.state, p.since = s, now
	if s == silent || s == left {
		c.at(now.Add(goneLife), func(now time.Time) {
			if p.state == s && now.Sub(p.since) >= goneLife {
				c.forget(p)
			}
		})
	}
}

// markAlive records that the peer lives now.
func (c *core) markAlive(p *peer, now time.Time) {
	p.heard = now
	if p.probing != nil && !p.probing.goodbye {
		p.probing = nil
	}
	p.clear(now)
	if p.state == silent {
		c.probeSilent(now)
	}
	if p.state != live {
		c.setState(p, live, now)
	}
	if !p.watching {
		p.watching = true
		c.at(now.Add(c.period), func(now time.Time) { c.lifetime(p, now) })
	}
}

// lifetime probes a peer that was not heard for a whole period, which is 80 %
// of the life of an entry (1.25 periods).
func (c *core) lifetime(p *peer, now time.Time) {
	p.watching = false
	if p.state != live || c.peers[p.owner] != p {
		return
	}
	due := p.heard.Add(c.period)
	if !due.After(now) {
		c.beginProbes(p, lateSeries, now)
		due = now.Add(c.period)
	}
	p.watching = true
	c.at(due, func(now time.Time) { c.lifetime(p, now) })
}

// beginProbes starts a series of probes, unless a more urgent one is under way.
func (c *core) beginProbes(p *peer, series probeSeries, now time.Time) {
	if p.probing != nil && p.probing.every <= series.every && (p.probing.fatal || !series.fatal) {
		return
	}
	series.nonce = c.nonce()
	p.probing = &series
	c.stepProbes(p, p.probing, now)
}

// stepProbes sends the next probe of a series, or ends it.
func (c *core) stepProbes(p *peer, a *probeSeries, now time.Time) {
	if p.probing != a || c.leaving {
		return
	}
	if a.left == 0 && c.links > 0 {
		p.probing = nil
		c.seriesEnded(p, a, now)
		return
	}
	wait := a.every
	switch {
	case c.links == 0: // without interfaces no peer can be probed or judged
		wait = time.Second
	case !c.probesFor(p).take(now):
		c.stats.Rate++
		wait = 50 * time.Millisecond
	default:
		if a.raises && a.sent {
			a.raises = false
			c.raiseSuspicion(p, now)
		}
		a.left--
		a.sent = true
		if a.quick--; a.goodbye && a.quick <= 0 {
			wait = goodbyeLatePace
		}
		o := outbound{to: p.pathList()}
		c.await(a.nonce, p.owner, o.to, now)
		if p.state == live {
			o.probeOf = &p.owner
		}
		body := &wire.Probe{Nonce: a.nonce, Services: a.services}
		body.Pad = c.pad(body, padProbe(p.said))
		c.send(probe, body, o)
	}
	c.at(now.Add(wait), func(now time.Time) { c.stepProbes(p, a, now) })
}

// probesFor returns the limit that a probe to the peer counts in. Known peers are probed whatever
// the number of strangers. The strangers of an address with few of them are probed whatever the
// number at another address.
func (c *core) probesFor(p *peer) *bucket {
	switch {
	case p.state != unproven:
		return &c.probes
	case c.unproven.overShare(p.from):
		return &c.hintsAll
	}
	return &c.hints
}

// seriesEnded ends a series without an answer.
func (c *core) seriesEnded(p *peer, a *probeSeries, now time.Time) {
	switch {
	case p.state == unproven:
		c.stats.Unproven++
		c.forget(p)
	case p.state == live && a.goodbye:
		c.confirmLeave(p, now)
	case p.state == live && a.fatal:
		c.markSilent(p, now)
	}
}

// markSilent removes a peer that does not answer from the lists.
func (c *core) markSilent(p *peer, now time.Time) {
	c.log.Info("LAN peer is silent", "peer", p.owner.String(), "registrations", len(p.list))
	c.depart(p, registry.Silent, now)
	c.setState(p, silent, now)
	c.retrySilent(p, time.Second, now)
}

// retrySilent probes a silent peer at growing intervals while it is remembered, because the network
// may have failed. The intervals vary, so that of many silent peers one is probed at short
// intervals and shows that the network is back.
func (c *core) retrySilent(p *peer, wait time.Duration, now time.Time) {
	c.at(now.Add(c.jitter(wait, 0.5)), func(now time.Time) {
		if p.state != silent || c.peers[p.owner] != p {
			return
		}
		c.beginProbes(p, silentSeries, now)
		c.retrySilent(p, min(2*wait, 30*time.Second), now)
	})
}

// probeSilent probes all silent peers soon after one of them was heard again. The network had
// failed, so the others are likely back.
func (c *core) probeSilent(now time.Time) {
	if now.Sub(c.probedSilent) < probeSilentGap {
		return
	}
	c.probedSilent = now
	for p := range c.everyPeer() {
		if p.state == silent {
			c.at(now.Add(c.spread()), func(now time.Time) {
				if p.state == silent {
					c.beginProbes(p, returnSeries, now)
				}
			})
		}
	}
}

// refused handles a refusal: the host at one of the peer's addresses reports that no process has
// the port. When all addresses of the peer have done so, the peer is gone.
func (c *core) refused(now time.Time, owner registry.Owner, at path) {
	p := c.peers[owner]
	if p == nil || p.state != live || p.probing == nil || !p.probing.fatal {
		return
	}
	p.probing.refused = append(p.probing.refused, at)
	if !slices.ContainsFunc(p.paths,
		func(known peerPath) bool { return !slices.Contains(p.probing.refused, known.path) }) {
		a := p.probing
		if a.raises {
			c.raiseSuspicion(p, now)
		}
		p.probing = nil
		c.seriesEnded(p, a, now)
	}
}

// depart removes all of the peer's registrations from the lists.
func (c *core) depart(p *peer, how registry.DepartureKind, now time.Time) {
	for id := range p.list {
		c.touch(id.Service, registry.Departure{ID: id, Kind: how, When: now})
	}
	clear(p.list)
	p.leaveClaim = leaveClaim{}
	p.hash = ""
}

// suspect probes the owner of a registration at once.
func (c *core) suspect(now time.Time, id registry.ID) {
	for _, p := range c.peers {
		if _, ok := p.list[id]; ok && p.state == live {
			c.beginProbes(p, suspectSeries, now)
			return
		}
	}
}
