package broadcast

import (
	"slices"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// apply takes the listing of a live peer unless a newer one is known, and requests the rest of one
// that did not fit. solicited says that the peer answered a probe, which another process can't do.
// Without it, a missing registration stays listed until the peer has been probed.
func (c *core) apply(p *peer, l *wire.Listing, in packet, from path, solicited bool, now time.Time) {
	part := solicited && p.underway != "" && p.underway == string(l.Hash) // parts of one list come in any order
	if in.seq < p.stateSeq && !part {
		return
	}
	p.stateSeq, p.said = max(p.stateSeq, in.seq), in.size
	p.answered = p.answered || part
	said := c.usable(p, l.Registrations, now)
	if l.GetComplete() {
		p.partial, p.hash = false, string(l.Hash)
		c.replace(p, said, func(string) bool { return true }, from, solicited, now)
		return
	}
	p.partial = true
	c.replace(p, said, func(service string) bool { return slices.Contains(l.Scope, service) }, from, solicited, now)
	if solicited && p.hash == string(l.Hash) {
		p.leaving = nil // nothing was deregistered
	}
	if len(l.Hash) != listing.HashSize || p.hash == string(l.Hash) || p.parts == string(l.Hash) {
		return
	}
	if c.covered(l) {
		if part {
			p.parts = string(l.Hash)
		}
		return
	}
	order := fetchOrder{
		owner:     p.owner,
		hash:      string(l.Hash),
		from:      from,
		solicited: solicited,
		cut:       solicited && wasCut(l, in),
	}
	if l.IsSetFetch() {
		order.addr = fetchAddr(l.GetFetch(), from)
	}
	c.fetchListing(p, order, now)
}

// wasCut reports whether an answer is so short, and names so few services, that all of them may fit
// in a packet.
func wasCut(l *wire.Listing, in packet) bool {
	const few = 8
	return in.size < MaxPacket/2 && len(l.Names) > 0 && len(l.Names) <= few
}

// covered reports whether the listing's scope has everything wanted.
func (c *core) covered(l *wire.Listing) bool {
	if c.all {
		return false
	}
	for s := range c.wanted {
		if !slices.Contains(l.Scope, s) && (len(l.Names) == 0 || slices.Contains(l.Names, s)) {
			return false
		}
	}
	return true
}

// usable returns the valid registrations of services that are watched here.
func (c *core) usable(p *peer, regs []*wire.Registration, now time.Time) map[registry.ID]registry.Instance {
	said := map[registry.ID]registry.Instance{}
	for _, r := range regs {
		if !c.wants(r.Name) {
			continue
		}
		in, err := listing.Decode(r, p.owner, now)
		if err != nil {
			c.stats.Malformed++
			continue
		}
		said[in.ID()] = in
	}
	return said
}

// replace sets the peer's registrations of the services in scope to said. Missing ones were
// deregistered, and leaving ones are the last choice. The peer is probed first, unless this listing
// answered a probe.
func (c *core) replace(p *peer, said map[registry.ID]registry.Instance, scope func(service string) bool,
	from path, solicited bool, now time.Time) {
	var doubtful []registry.ID
	for id := range p.list {
		switch _, ok := said[id]; {
		case ok && solicited:
			if _, marked := p.leaving[id]; marked {
				delete(p.leaving, id)
				c.touch(id.Service)
			}
		case ok || !scope(id.Service):
		case !solicited:
			doubtful = append(doubtful, id)
		default:
			delete(p.list, id)
			delete(p.leaving, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Deregistered, When: now})
		}
	}
	for id, in := range said {
		old, known := p.list[id]
		if known && in.Leaving && !old.Leaving && !solicited {
			in.Leaving = false
			doubtful = append(doubtful, id)
		}
		if known && old.Equal(in) && in.Started.Sub(old.Started).Abs() < 2*time.Second {
			continue // the same start, measured twice
		}
		if len(p.list) < maxFromPeer {
			p.list[id] = in
			c.touch(id.Service)
			if !known {
				c.supplant(id, now)
			}
		}
	}
	c.claimLeave(p, false, doubtful, from, now)
}

// supplant probes the other processes that list the address of a new registration. The one that had
// the port before was most likely killed.
func (c *core) supplant(id registry.ID, now time.Time) {
	for p := range c.everyPeer() {
		rival := id
		rival.Epoch = p.owner.Epoch
		if _, ok := p.list[rival]; ok && rival != id && p.state == live {
			c.beginProbes(p, rivalSeries, now)
		}
	}
}

// known returns the services with a list that may be shown.
func (c *core) known() map[string]struct{} {
	set := map[string]struct{}{}
	for s, settled := range c.wanted {
		if settled {
			set[s] = struct{}{}
		}
	}
	add := func(id registry.ID) {
		if c.wants(id.Service) {
			set[id.Service] = struct{}{}
		}
	}
	for id := range c.offered {
		add(id)
	}
	for _, p := range c.peers {
		for id := range p.list {
			add(id)
		}
	}
	return set
}

// showable reports whether the list of a service may be shown: an empty one only after all
// processes had the time to answer.
func (c *core) showable(service string, list []registry.Instance) bool {
	if _, ok := c.wanted[service]; ok && len(list) > 0 {
		c.wanted[service] = true
	}
	return c.wanted[service] || c.all
}

// list returns the list of a service, in order.
func (c *core) list(service string) (list []registry.Instance) {
	for id, in := range c.offered {
		if id.Service == service {
			list = append(list, in)
		}
	}
	for _, p := range c.peers {
		for id, in := range p.list {
			if id.Service != service {
				continue
			}
			in.Heard = uint32(p.heard.Unix())
			in.Leaving = in.Leaving || p.isLeaving(id)
			list = append(list, in)
		}
	}
	slices.SortFunc(list, registry.Compare)
	return list
}
