package broadcast

import (
	"net/netip"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// Packets of a known peer count when they come from an address where the peer has
// answered: a member can send in another name, and can't answer a probe in its place.
// A new address is probed first.
const (
	maxPaths   = 4                     // addresses remembered of a peer
	copyWait   = 20 * time.Millisecond // in which a copy comes from an address that is known
	pathLater  = 30 * time.Second      // after which a second address is probed that is not needed yet
	pathTries  = 3
	pathChecks = 16 // packets of a new address that wait for copies at once
	pathGap    = 150 * time.Millisecond
	provenFor  = 10 * time.Minute // how long longer answers go to an address that has answered
)

// peerPath is an address of a peer, and when a packet of the peer last came from it.
type peerPath struct {
	path
	heard time.Time
}

func (p *peer) knows(at path) bool {
	return slices.ContainsFunc(p.paths, func(w peerPath) bool { return w.path == at })
}

// knowsHost is knows for any port: questions that want to hear of a refusal come
// from ports of their own.
func (p *peer) knowsHost(at path) bool {
	return slices.ContainsFunc(p.paths, func(w peerPath) bool { return w.addr.Addr() == at.addr.Addr() })
}

// pathList are the addresses to probe the peer at, the newest first.
func (p *peer) pathList() []path {
	out := make([]path, len(p.paths))
	for i, w := range p.paths {
		out[i] = w.path
	}
	return out
}

// suggest adds an address to probe a peer at, which is not known to live. It takes
// the place of none.
func (p *peer) suggest(at path) {
	if !p.knows(at) && len(p.paths) < maxPaths {
		p.paths = append(p.paths, peerPath{path: at})
	}
}

// point is suggest for a packet of a peer that may be back, from another
// address than before.
func (p *peer) point(at path) {
	if p.state != unproven && len(p.paths) >= maxPaths && !p.knows(at) {
		p.paths = p.paths[:maxPaths-1]
	}
	p.suggest(at)
}

// learnPath notes that the peer has answered at an address, or was heard there
// again. An address in use is not displaced by another one.
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

// candidateKey is an address that a known peer's packets seem to come from.
type candidateKey struct {
	owner registry.Owner
	at    path
}

// pathCandidate is the probing of such an address.
type pathCandidate struct {
	tries  int // questions left
	checks int // packets that wait for copies
	asked  bool
}

// considerPath sees to an address that a packet of a live peer came from and that
// the peer has not answered at. Most are a second interface or protocol of its
// host: the copy from the known address counts then, and the new address is
// probed some time later. Without that copy it is probed at once: answers have no
// copies, and come from the address that the question went to.
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

// validateAddr notes that an address has answered a nonce that was sent to it.
func (c *core) validateAddr(at netip.Addr, now time.Time) {
	if len(c.validAddrs) >= maxPeers {
		for a, when := range c.validAddrs {
			if now.Sub(when) > provenFor {
				delete(c.validAddrs, a)
			}
		}
		if len(c.validAddrs) >= maxPeers {
			return // longer answers to this address are cut, no more
		}
	}
	c.validAddrs[at] = now
}

func (c *core) addrValidated(at netip.Addr, now time.Time) bool {
	when, ok := c.validAddrs[at]
	return ok && now.Sub(when) <= provenFor
}

// amplify is how many times the bytes of a question its answer may have while
// the address of the question may be forged.
const amplify = 3

// allowance is how many bytes the body of an answer may have: as many as fit
// in a datagram, or, to an address that has not answered yet, so that what is
// sent there stays within three times the question; spent is what else is
// sent because of it, answerHead what goes around the listing.
func (c *core) allowance(asked, spent, answerHead int, to path, now time.Time) int {
	room := c.room(c.self) - answerHead
	if c.addrValidated(to.addr.Addr(), now) {
		return room
	}
	head := MaxPacket - c.room(c.self) + answerHead
	return max(0, min(room, amplify*asked-spent-head))
}

// Sizes of questions. A query is so long that an answer may fill a datagram,
// a probe allows one as long as the last list of the peer.
const (
	answerHead = 32 // bytes of an answer around its listing, at most
	proofHead  = 14 // the same of an answer to a probe
	padHead    = 4  // bytes of the field that holds the padding
	padQuery   = MaxPacket / amplify
	usualSize  = MaxPacket / 2 // of the list of a peer that has not been heard yet
)

// directQuerySize is the size of a query to one address; its receiver sends probes, too.
func (c *core) directQuerySize() int {
	return min(MaxPacket, (MaxPacket+hintSeries.left*c.probeSize())/amplify)
}

// probeSize is the size of a probe without padding, at most.
func (c *core) probeSize() int { return MaxPacket - c.room(c.self) + 16 }

// padProbe is the size of a probe that allows an answer as long as the last list
// of the peer. A series of them is shorter than three times that list.
func padProbe(said int) int { return said/2 + proofHead }

// pad is what makes a body as long as a datagram of size bytes needs.
func (c *core) pad(body thrift.TStruct, bytes int) []byte {
	n := min(bytes, MaxPacket) - (MaxPacket - c.room(c.self)) - size(body) - padHead
	if n <= 0 {
		return nil
	}
	return make([]byte, n)
}
