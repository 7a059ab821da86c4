package broadcast

import (
	"bytes"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// apply takes what a live peer says it offers, unless something newer is
// known, and sees to the rest of a listing that did not fit.
func (c *core) apply(p *peer, l *wire.Listing, seq uint64, from path, now time.Time) {
	if seq < p.stateSeq {
		return
	}
	p.stateSeq = seq
	said := c.usable(p, l.Registrations, now)
	if l.GetComplete() {
		p.partial, p.hash = false, string(l.Hash)
		c.replace(p, said, func(string) bool { return true }, now)
		return
	}
	p.partial = true
	c.replace(p, said, func(service string) bool { return slices.Contains(l.Scope, service) }, now)
	if len(l.Hash) != HashSize || p.hash == string(l.Hash) || c.covered(l) {
		return
	}
	if c.canFetch && l.IsSetFetch() {
		c.fetches = append(c.fetches, fetchOrder{owner: p.owner, hash: string(l.Hash), addr: fetchAddr(l.GetFetch(), from)})
		return
	}
	c.askParts(p, string(l.Hash), from, now)
}

// covered reports whether all that is wanted is in the scope.
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

// askParts has a long listing sent in parts, without TCP; three times, for
// parts get lost.
func (c *core) askParts(p *peer, hash string, from path, now time.Time) {
	if p.parts != hash {
		p.parts, p.tries = hash, 0
	} else if p.tries > 0 {
		return // under way, or done
	}
	c.askPartsAgain(p, hash, from, now)
}

func (c *core) askPartsAgain(p *peer, hash string, from path, now time.Time) {
	if p.state != live || p.parts != hash || p.tries >= burst || c.whole(p, hash) {
		return
	}
	p.tries++
	body := &wire.Query{Nonce: c.newQuery(now, false), Services: c.wantedNames(), Parts: new(true)}
	c.send(query, body, outbound{to: []path{from}})
	c.at(now.Add(burstGap/2), func(now time.Time) { c.askPartsAgain(p, hash, from, now) })
}

// whole reports whether all that the hash stands for is here.
func (c *core) whole(p *peer, hash string) bool {
	if string(ContentHash(slices.Collect(maps.Values(p.list)))) == hash {
		p.hash = hash
	}
	return p.hash == hash
}

// fetchAddr completes an address that lacks the host by the packet's source.
func fetchAddr(addr string, from path) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		return net.JoinHostPort(from.addr.Addr().String(), port)
	}
	return addr
}

// fetched takes a listing that was fetched over TCP. It counts only when it
// is what the authenticated packet named.
func (c *core) fetched(now time.Time, order fetchOrder, list []registry.Instance, err error) {
	p := c.peers[order.owner]
	if p == nil || p.state != live {
		return
	}
	if err != nil || !bytes.Equal(ContentHash(list), []byte(order.hash)) {
		c.stats.FetchFailed++
		c.log.Info("LAN listing not fetched", "peer", p.owner.String(), "addr", order.addr, "err", err)
		if len(p.paths) > 0 {
			c.askParts(p, order.hash, p.paths[0], now)
		}
		return
	}
	p.hash = order.hash
	said := map[registry.ID]registry.Instance{}
	for _, in := range list {
		if in.Owner = p.owner; c.wants(in.Service) && len(said) < maxFromPeer {
			said[in.ID()] = in
		}
	}
	c.replace(p, said, func(string) bool { return true }, now)
}

// usable are the valid registrations of services that somebody here watches.
func (c *core) usable(p *peer, regs []*wire.Registration, now time.Time) map[registry.ID]registry.Instance {
	said := map[registry.ID]registry.Instance{}
	for _, r := range regs {
		if !c.wants(r.Name) {
			continue
		}
		in, err := FromWire(r, p.owner, now)
		if err != nil {
			c.stats.Malformed++
			continue
		}
		said[in.ID()] = in
	}
	return said
}

// replace makes what the peer said its registrations of the services that
// scope takes in. What is missing was withdrawn.
func (c *core) replace(p *peer, said map[registry.ID]registry.Instance, scope func(service string) bool, now time.Time) {
	for id := range p.list {
		if _, ok := said[id]; !ok && scope(id.Service) {
			delete(p.list, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Withdrawn, When: now})
		}
	}
	for id, in := range said {
		old, known := p.list[id]
		if known && old.Equal(in) && in.Started.Sub(old.Started).Abs() < 2*time.Second {
			continue // one start, measured twice
		}
		if len(p.list) < maxFromPeer {
			p.list[id] = in
			c.touch(id.Service)
			if !known {
				c.supplant(id, now)
			}
		}
	}
}

// supplant asks whoever else claims the address of a new registration: a
// process that was restarted there has most likely been killed.
func (c *core) supplant(id registry.ID, now time.Time) {
	for _, p := range c.peers {
		rival := id
		rival.Epoch = p.owner.Epoch
		if _, ok := p.list[rival]; ok && rival != id && p.state == live {
			c.begin(p, askRival, now)
		}
	}
}

// known are the services with a list worth showing.
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
	for id := range c.own {
		add(id)
	}
	for _, p := range c.peers {
		for id := range p.list {
			add(id)
		}
	}
	return set
}

// showable reports whether the list of a service is worth showing: an empty
// one only after everybody had the time to speak.
func (c *core) showable(service string, list []registry.Instance) bool {
	if _, ok := c.wanted[service]; ok && len(list) > 0 {
		c.wanted[service] = true
	}
	return c.wanted[service] || c.all
}

// list is the list of a service, in order.
func (c *core) list(service string) (list []registry.Instance) {
	take := func(from map[registry.ID]registry.Instance, heard uint32) {
		for id, in := range from {
			if id.Service == service {
				in.Heard = heard
				list = append(list, in)
			}
		}
	}
	take(c.own, 0)
	for _, p := range c.peers {
		take(p.list, uint32(p.heard.Unix()))
	}
	slices.SortFunc(list, registry.Compare)
	return list
}
