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

// A member can send a goodbye in the name of another process. The last goodbye of a
// process shows a token, of which the process has announced the hash before; it is
// believed. Any other goodbye makes the process the last choice, and the process is
// probed at its known address. A process that leaves says so, or its host refuses
// the port, or nothing answers. A process that stays answers and is listed as before.
const (
	goodbyeSpread        = 40 * time.Millisecond  // in which many processes probe the one that leaves
	goodbyeSpreadPerPeer = goodbyeSpread / 80     // for each peer
	goodbyePause         = 100 * time.Millisecond // after a false goodbye, until the next one counts
	goodbyePauseMost     = 10 * time.Second       // the same at most, when they go on
	goodbyeForget        = time.Minute            // without a false one
)

// leaveClaim is what a goodbye, or a list without what was there, says of a
// peer, until the peer itself has been asked.
type leaveClaim struct {
	all     bool                     // the process is leaving
	leaving map[registry.ID]struct{} // these registrations are withdrawn
	source  netip.AddrPort           // where that came from

	falseCount   int       // goodbyes in a row that were not the peer's own
	falseAt      time.Time // when the last of them was
	blockedUntil time.Time // until then another one is not believed
	queued       bool      // one that came meanwhile is looked into then
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

// onGoodbye takes a goodbye: at once when it is the answer to a question of
// this process (proof), otherwise after asking.
func (c *core) onGoodbye(now time.Time, in packet, g *wire.Goodbye, from path, proof bool) {
	p := c.peers[in.sender]
	if p == nil {
		return // nothing is listed
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
		return // nothing is listed, or something has been listed since
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

// claimLeave makes registrations of a peer, or all, the last choice and asks it.
func (c *core) claimLeave(p *peer, all bool, ids []registry.ID, from path, now time.Time) {
	if !all && len(ids) == 0 || p.all && p.probing != nil && p.probing.goodbye {
		return
	}
	p.source = from.addr
	if now.Before(p.leaveClaim.blockedUntil) { // false ones came; the peer is not hurt by another
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

// markLeaving makes registrations of a peer, or all, the last choice; it reports
// whether that is news.
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

// touchMarked has the lists of the marked registrations shown again.
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
		p.probing = nil // it may have been answered before the newest goodbye
	}
	c.beginProbes(p, series, now)
}

// confirmLeave takes off what a goodbye has named and nothing speaks against.
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
	c.markSilent(p, now) // it did not answer when it was asked for them
}

// kept reports whether a registration that was marked is listed all the same,
// and not as leaving.
func (p *peer) kept(marked []registry.ID) bool {
	return slices.ContainsFunc(marked, func(id registry.ID) bool {
		in, listed := p.list[id]
		_, open := p.leaving[id]
		return listed && !open && !in.Leaving
	})
}

// denyLeave takes the answer of a peer that was asked whether it leaves. What its
// list still holds was not withdrawn.
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

// Why something was refused that a member of the cluster has sent. They have
// their advice in the table of the same name.
var (
	errSequence = errors.New("sequence number out of bounds, or far ahead of the sender's last one")
	errOwnName  = errors.New("another process uses the name of this process")
	errGoodbye  = errors.New("a goodbye in the name of a process that stays")
	errFull     = errors.New("too many senders at this address")
	errDeliver  = errors.New("what was announced can't be fetched")
)
