package broadcast

import (
	"crypto/sha256"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// A member can send a goodbye in the name of another process. The last goodbye of a process shows a
// token, and is believed because the process announced the token's hash before. After any other
// goodbye the process becomes the last choice and is probed at its known address. It leaves the
// lists when it confirms, when its host refuses the port, or when nothing answers. A process that
// stays answers and is listed as before.
// the port, or nothing answers. A process that stays answers and is listed as before.
const (
	goodbyeSpread        = 40 * time.Millisecond  // in which many processes probe the one that leaves
	goodbyeSpreadPerPeer = goodbyeSpread / 80     // for each peer
	goodbyePause         = 100 * time.Millisecond // after a false goodbye, until the next one counts
	goodbyePauseMost     = 10 * time.Second       // the same at most, when they go on
	goodbyeForget        = time.Minute            // without a false one
)

// leaveClaim is what a goodbye, or a list without earlier registrations, claims about a peer before
// the peer has answered.
type leaveClaim struct {
	all     bool                     // the process is leaving
	leaving map[registry.ID]struct{} // these registrations were deregistered
	source  netip.AddrPort           // source of the claim

	falseCount   int       // goodbyes in a row that were false
	falseAt      time.Time // when the last of them was
	blockedUntil time.Time // until then another one is not believed
	queued       bool      // a goodbye of the meantime is checked then
}

// sealOf is the hash of a token.
func sealOf(token []byte) []byte {
	if len(token) == 0 {
		return nil
	}
	sum := sha256.Sum256(token)
	return sum[:listing.HashSize]
}

// isLeaving reports whether a registration may be withdrawn.
func (f *leaveClaim) isLeaving(id registry.ID) bool {
	_, ok := f.leaving[id]
	return f.all || ok
}

func (f *leaveClaim) marked() bool { return f.all || len(f.leaving) > 0 }

// onGoodbye handles a goodbye: at once when it answers a probe of this process (proof), otherwise
// after a probe.
func (c *core) onGoodbye(now time.Time, in packet, g *wire.Goodbye, from path, proof bool) {
	p := c.peers[in.sender]
	if p == nil {
		return // no registration is listed
	}
	if len(g.Token) > 0 && p.seal != "" && string(sealOf(g.Token)) == p.seal {
		proof = true
	}
	if proof && g.GetEverything() {
		switch p.state {
		case unproven:
			c.forget(p)
		case live:
			p.stateSeq, p.probing, p.all = in.seq, nil, true
			c.confirmLeave(p, now)
		}
		return
	}
	if p.state != live || g.IsSetNonce() || in.seq < p.stateSeq {
		return // no registration is listed, or a newer listing has come
	}
	p.stateSeq = in.seq
	if g.GetEverything() {
		c.claimLeave(p, true, nil, from, now)
		return
	}
	var ids []registry.ID
	for _, l := range g.Left {
		id := registry.ID{Service: l.Name, Version: l.GetVersion(), Epoch: p.owner.Epoch,
			Addr: net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))}
		if _, ok := p.list[id]; ok {
			ids = append(ids, id)
		}
	}
	c.claimLeave(p, false, ids, from, now)
}

// claimLeave makes registrations of a peer, or all, the last choice, and probes it.
func (c *core) claimLeave(p *peer, all bool, ids []registry.ID, from path, now time.Time) {
	if !all && len(ids) == 0 || p.all && p.probing != nil && p.probing.goodbye {
		return
	}
	p.source = from.addr
	if now.Before(p.leaveClaim.blockedUntil) { // after false goodbyes, another one does not affect the peer
		if !p.queued {
			p.queued = true
			c.at(p.leaveClaim.blockedUntil, func(now time.Time) {
				p.queued = false
				if p.state == live && c.peers[p.owner] == p && c.markLeaving(p, all, ids) {
					c.probeLeaving(p, now)
				}
			})
		}
		return
	}
	if c.markLeaving(p, all, ids) {
		wait := c.random(min(goodbyeSpread, time.Duration(len(c.peers))*goodbyeSpreadPerPeer))
		c.at(now.Add(wait), func(now time.Time) { c.probeLeaving(p, now) })
	}
}

// markLeaving makes registrations of a peer, or all, the last choice. It reports whether that
// changed any.
func (c *core) markLeaving(p *peer, all bool, ids []registry.ID) (news bool) {
	news = all && !p.all
	p.all = p.all || all
	if p.leaving == nil {
		p.leaving = map[registry.ID]struct{}{}
	}
	for _, id := range ids {
		_, listed := p.list[id]
		_, known := p.leaving[id]
		if listed && !known {
			p.leaving[id] = struct{}{}
			news = true
		}
	}
	c.touchMarked(p)
	return news
}

// touchMarked publishes the lists with marked registrations again.
func (c *core) touchMarked(p *peer) {
	for id := range p.list {
		if p.isLeaving(id) {
			c.touch(id.Service)
		}
	}
}

// probeLeaving asks a peer with marked registrations whether it leaves.
func (c *core) probeLeaving(p *peer, now time.Time) {
	if p.state != live || !p.marked() {
		return
	}
	series := goodbyeSeries
	for id := range p.leaving {
		if len(series.services) < probeNames && !slices.Contains(series.services, id.Service) {
			series.services = append(series.services, id.Service)
		}
	}
	if p.probing != nil && p.probing.goodbye {
		p.probing = nil // its answer may be older than the newest goodbye
	}
	c.beginProbes(p, series, now)
}

// confirmLeave removes the registrations that a goodbye has named and that the peer has not
// defended.
func (c *core) confirmLeave(p *peer, now time.Time) {
	if p.all {
		c.depart(p, registry.Deregistered, now)
		c.setState(p, left, now)
		p.probing = nil
		return
	}
	for id := range p.leaving {
		if _, ok := p.list[id]; ok {
			delete(p.list, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Deregistered, When: now})
		}
	}
	p.leaving = nil
	c.markSilent(p, now) // it did not answer the probe for them
}

// kept reports whether a marked registration is still listed, and not as leaving.
func (p *peer) kept(marked []registry.ID) bool {
	return slices.ContainsFunc(marked, func(id registry.ID) bool {
		in, listed := p.list[id]
		_, open := p.leaving[id]
		return listed && !open && !in.Leaving
	})
}

// denyLeave handles the answer of a peer that was probed whether it leaves. Registrations in its
// list were not deregistered.
func (c *core) denyLeave(p *peer, kept bool, now time.Time) {
	if !p.marked() {
		return
	}
	c.touchMarked(p)
	p.all = false
	if !kept {
		return
	}
	c.stats.FalseGoodbye++
	c.refuse(now, errGoodbye, p.source)
	if now.Sub(p.falseAt) > goodbyeForget {
		p.falseCount = 0
	}
	p.falseAt = now
	p.leaveClaim.blockedUntil = now.Add(min(goodbyePause<<min(p.falseCount, 10), goodbyePauseMost))
	p.falseCount++
}

// Reasons to refuse a packet of a member of the cluster. The table advice has the operator's step
// for each.
var (
	errSequence = errors.New("sequence number out of bounds, or far ahead of the sender's last one")
	errOwnName  = errors.New("another process uses the name of this process")
	errGoodbye  = errors.New("a goodbye in the name of a process that stays")
	errFull     = errors.New("too many senders at this address")
	errDeliver  = errors.New("what was announced can't be fetched")
)
