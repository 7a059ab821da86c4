package broadcast

import (
	"net/netip"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// Packets of a known peer count when they come from an address where the peer has answered. A
// member can send in another name, and can't answer a probe in its place. A new address is probed
// first.
const (
	maxPaths   = 4                     // addresses remembered of a peer
	copyWait   = 20 * time.Millisecond // in which a copy comes from a known address
	pathLater  = 30 * time.Second      // before a second address is probed that is not needed yet
	pathTries  = 3
	pathChecks = 16 // packets of a new address that wait for copies at once
	pathGap    = 150 * time.Millisecond
	provenFor  = 10 * time.Minute // how long an address that has answered gets longer answers
)

// peerPath is an address of a peer, and when a packet of the peer last came from it.
type peerPath struct {
	path
	heard time.Time
}

func (p *peer) knows(at path) bool {
	return slices.ContainsFunc(p.paths, func(w peerPath) bool { return w.path == at })
}

// knowsHost is knows for any port: probes that expect a refusal leave from other ports.
func (p *peer) knowsHost(at path) bool {
	return slices.ContainsFunc(p.paths, func(w peerPath) bool { return w.addr.Addr() == at.addr.Addr() })
}

// pathList returns the addresses to probe the peer at, the newest first.
func (p *peer) pathList() []path {
	out := make([]path, len(p.paths))
	for i, w := range p.paths {
		out[i] = w.path
	}
	return out
}

// suggest adds an address to probe a peer at when the peer is not known to live. It displaces none.
func (p *peer) suggest(at path) {
	if !p.knows(at) && len(p.paths) < maxPaths {
		p.paths = append(p.paths, peerPath{path: at})
	}
}

// point is suggest for a packet of a peer that may be back at another address.
func (p *peer) point(at path) {
	if p.state != unproven && len(p.paths) >= maxPaths && !p.knows(at) {
		p.paths = p.paths[:maxPaths-1]
	}
	p.suggest(at)
}

// learnPath records that the peer has answered at an address, or was heard there again. No other
// address displaces one in use.
func (c *core) learnPath(p *peer, at path, now time.Time) {
	w := peerPath{at, now}
	if i := slices.IndexFunc(p.paths, func(w peerPath) bool { return w.path == at }); i >= 0 {
		p.paths = slices.Delete(p.paths, i, i+1)
	} else if len(p.paths) >= maxPaths {
		i := 0
		for j, w := range p.paths {
			if w.heard.Before(p.paths[i].heard) {
				i = j
			}
		}
		if now.Sub(p.paths[i].heard) < 2*c.period {
			return
		}
		p.paths = slices.Delete(p.paths, i, i+1)
	}
	p.paths = slices.Insert(p.paths, 0, w)
}

// candidateKey is an address that may be a known peer's, by the source of its packets.
type candidateKey struct {
	owner registry.Owner
	at    path
}

// pathCandidate is the probing of such an address.
type pathCandidate struct {
	tries  int // probes left
	checks int // packets that wait for copies
	asked  bool
}

// considerPath handles an address that a packet of a live peer came from and where the peer has not
// answered. Most are a second interface or protocol of its host. The copy from the known address
// then counts, and the new address is probed some time later. Without that copy it is probed at
// once: answers have no copies, and come from the address that was probed.
func (c *core) considerPath(p *peer, at path, in packet, now time.Time) {
	k := candidateKey{p.owner, at}
	w := c.candidates[k]
	if w == nil {
		if len(c.candidates) >= maxUnproven || p.candidates >= maxPaths {
			return
		}
		w = &pathCandidate{}
		c.candidates[k] = w
		p.candidates++
		c.at(now.Add(c.jitter(pathLater, 0.9)), func(now time.Time) { c.beginPathProbe(p, at, w, now) })
	}
	if w.asked || w.checks >= pathChecks {
		return
	}
	w.tries = max(w.tries, 1, min(pathTries, amplify*in.size/max(c.probeSize(), padProbe(p.said))))
	w.checks++
	c.at(now.Add(copyWait), func(now time.Time) {
		w.checks--
		if !p.replay.old(in.seq) { // no copy has come
			c.beginPathProbe(p, at, w, now)
		}
	})
}

// beginPathProbe probes a new address, unless that has begun.
func (c *core) beginPathProbe(p *peer, at path, w *pathCandidate, now time.Time) {
	if !w.asked {
		w.asked = true
		c.probePath(p, at, w, now)
	}
}

func (c *core) probePath(p *peer, at path, w *pathCandidate, now time.Time) {
	if p.state != live || c.peers[p.owner] != p || p.knows(at) || w.tries == 0 || c.leaving {
		delete(c.candidates, candidateKey{p.owner, at})
		p.candidates--
		return
	}
	if c.probes.take(now) {
		nonce := c.nonce()
		c.await(nonce, p.owner, []path{at}, now)
		body := &wire.Probe{Nonce: nonce}
		body.Pad = c.pad(body, padProbe(p.said))
		c.send(probe, body, outbound{to: []path{at}})
	} else {
		c.stats.Rate++
	}
	w.tries--
	c.at(now.Add(pathGap), func(now time.Time) { c.probePath(p, at, w, now) })
}

// validateAddr records that an address has answered a nonce.
func (c *core) validateAddr(at netip.Addr, now time.Time) {
	if len(c.validAddrs) >= maxPeers {
		for a, when := range c.validAddrs {
			if now.Sub(when) > provenFor {
				delete(c.validAddrs, a)
			}
		}
		if len(c.validAddrs) >= maxPeers {
			return // longer answers to this address are merely cut
		}
	}
	c.validAddrs[at] = now
}

func (c *core) addrValidated(at netip.Addr, now time.Time) bool {
	when, ok := c.validAddrs[at]
	return ok && now.Sub(when) <= provenFor
}

// amplify bounds an answer to this multiple of its query, while the query's source address may be
// forged.
const amplify = 3

// allowance is the size in bytes of an answer's body. To an address that has answered it fills a
// datagram. To others, all packets because of the query stay within three times its size: spent is
// what else is sent, and answerHead surrounds the listing.
func (c *core) allowance(asked, spent, answerHead int, to path, now time.Time) int {
	room := c.room(c.self) - answerHead
	if c.addrValidated(to.addr.Addr(), now) {
		return room
	}
	head := MaxPacket - c.room(c.self) + answerHead
	return max(0, min(room, amplify*asked-spent-head))
}

// Sizes of queries and probes. A query is long enough for an answer of a full datagram, a probe for
// one as long as the last list of the peer.
const (
	answerHead = 32 // bytes of an answer around its listing, at most
	proofHead  = 14 // the same of an answer to a probe
	padHead    = 4  // bytes of the field that holds the padding
	padQuery   = MaxPacket / amplify
	usualSize  = MaxPacket / 2 // of the list of a peer that was not heard yet
)

// directQuerySize is the size of a query to one address. Its receiver also sends probes.
func (c *core) directQuerySize() int {
	return min(MaxPacket, (MaxPacket+hintSeries.left*c.probeSize())/amplify)
}

// probeSize is the largest size of a probe without padding.
func (c *core) probeSize() int { return MaxPacket - c.room(c.self) + 16 }

// padProbe is the size of a probe that allows an answer as long as the last list of the peer. A
// series of them is shorter than three times that list.
func padProbe(said int) int { return said/2 + proofHead }

// pad returns the padding that makes body a datagram of the given size.
func (c *core) pad(body thrift.TStruct, bytes int) []byte {
	n := min(bytes, MaxPacket) - (MaxPacket - c.room(c.self)) - size(body) - padHead
	if n <= 0 {
		return nil
	}
	return make([]byte, n)
}
