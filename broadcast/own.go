package broadcast

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// put lists registrations of this process and tells everyone.
func (c *core) put(now time.Time, list []registry.Instance) {
	for _, in := range list {
		in.Owner = c.self
		c.own[in.ID()] = in
		c.touch(in.Service)
	}
	c.ownHash = ContentHash(c.ownList())
	c.announceBurst(now)
}

// drop withdraws registrations of this process and tells everyone.
func (c *core) drop(now time.Time, ids []registry.ID) {
	var gone []registry.ID
	for _, id := range ids {
		if _, ok := c.own[id]; ok {
			delete(c.own, id)
			gone = append(gone, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Withdrawn, When: now})
		}
	}
	if len(gone) == 0 {
		return
	}
	c.ownHash = ContentHash(c.ownList())
	c.thrice(now, func(now time.Time) {
		again := slices.DeleteFunc(slices.Clone(gone), func(id registry.ID) bool {
			_, back := c.own[id]
			return back
		})
		for _, body := range farewells(again, c.room(c.self)) {
			c.send(goodbye, body, outbound{group: true, to: c.unicasts(now)})
		}
	})
}

// farewells names what is withdrawn, in as many packets as it takes.
func farewells(gone []registry.ID, room int) []*wire.Goodbye {
	var out []*wire.Goodbye
	used := room
	for _, id := range gone {
		host, port := splitAddr(id.Addr)
		l := &wire.Left{Name: id.Service, Host: host, Port: int32(port)}
		if id.Version != "" {
			l.Version = &id.Version
		}
		n := size(l)
		if used+n > room {
			out, used = append(out, wire.NewGoodbye()), 16
		}
		last := out[len(out)-1]
		last.Left = append(last.Left, l)
		used += n
	}
	return out
}

// leave says that the whole process goes.
func (c *core) leave(now time.Time) {
	c.leaving = true
	for _, p := range c.peers {
		p.ask = nil
	}
	c.thrice(now, func(now time.Time) {
		if !c.leaving {
			return // back already
		}
		c.send(goodbye, &wire.Goodbye{Everything: new(true)}, outbound{group: true, to: c.unicasts(now)})
	})
}

// thrice says a goodbye three times; goodbyes counts what is left to be said.
func (c *core) thrice(now time.Time, say func(now time.Time)) {
	c.goodbyes += burst - 1
	say(now)
	for i := 1; i < burst; i++ {
		c.at(now.Add(time.Duration(i)*goodbyeGap), func(now time.Time) {
			c.goodbyes--
			say(now)
		})
	}
}

// announceBurst announces now and twice more, then once in a period.
func (c *core) announceBurst(now time.Time) {
	c.announces++
	c.left = burst
	c.announce(now, c.announces)
}

func (c *core) announce(now time.Time, schedule int) {
	if schedule != c.announces || c.leaving {
		return
	}
	if len(c.own) > 0 {
		l := pack(c.registrations(now), c.base(), c.room(c.self)-16, nil)
		c.send(announce, &wire.Announce{Listing: l}, outbound{group: true, to: c.unicasts(now)})
	}
	wait := run.Jitter(c.period, 0.1)
	if c.left--; c.left > 0 {
		wait = burstGap
	}
	c.at(now.Add(wait), func(now time.Time) { c.announce(now, schedule) })
}

// ownList is what this process offers, in order.
func (c *core) ownList() []registry.Instance {
	list := make([]registry.Instance, 0, len(c.own))
	for _, in := range c.own {
		list = append(list, in)
	}
	slices.SortFunc(list, registry.Compare)
	return list
}

func (c *core) registrations(now time.Time) []*wire.Registration {
	list := c.ownList()
	out := make([]*wire.Registration, len(list))
	for i, in := range list {
		out[i] = ToWire(in, now)
	}
	return out
}

// base is a listing without registrations.
func (c *core) base() wire.Listing {
	l := wire.Listing{Hash: c.ownHash}
	if addr := c.fetchAddr(); addr != "" {
		l.Fetch = &addr
	}
	return l
}

// unicasts are the places that broadcast does not reach: the seeds, and peers
// with whom only unicast has been seen to pass.
func (c *core) unicasts(now time.Time) []path {
	var to []path
	for _, addr := range c.seeds {
		to = append(to, path{addr: addr})
	}
	for _, p := range c.peers {
		if p.state == live && len(p.paths) > 0 && c.unicastOnly(p, now) {
			to = append(to, p.paths[0])
		}
	}
	return to
}

// unicastOnly reports whether broadcast has not been seen to pass between the
// peer and us for two and a half periods.
func (c *core) unicastOnly(p *peer, now time.Time) bool { return now.Sub(p.groupAt) > 5*c.period/2 }

// want changes what this process watches and asks for what is new.
func (c *core) want(now time.Time, services []string, all bool) {
	var fresh []string
	set := map[string]bool{}
	for _, s := range services {
		settled, known := c.wanted[s]
		set[s] = settled
		if !known {
			fresh = append(fresh, s)
		}
	}
	if all && !c.all {
		fresh = append(fresh, registry.AllServices)
	}
	for _, s := range fresh {
		c.asks[s] = burst
	}
	c.wanted, c.all = set, all
	for _, p := range c.peers {
		if len(fresh) > 0 && p.partial {
			p.hash, p.parts = "", "" // we kept only what was wanted
		}
		for id := range p.list {
			if !c.wants(id.Service) {
				delete(p.list, id)
			}
		}
	}
	for s := range c.known() {
		c.touch(s) // whoever watches anew is shown the list
	}
	switch {
	case len(fresh) == 0:
	case c.asking: // not with the next round, which is up to a second away
		c.ask(now, fresh)
	default:
		c.query(now)
	}
}

func (c *core) wants(service string) bool {
	_, ok := c.wanted[service]
	return ok || c.all
}

// linksChanged says how many interfaces there are; with a new one among them
// everything is announced and asked again.
func (c *core) linksChanged(now time.Time, links int, fresh bool) {
	c.links = links
	if fresh && links > 0 {
		if len(c.own) > 0 {
			c.announceBurst(now)
		}
		c.askEverything(now)
	}
}

// comeBack begins a new life after leave, or the first.
func (c *core) comeBack(now time.Time) {
	c.leaving = false
	c.seeks++
	c.seek(now, c.seeks)
}

// seek asks the seeds: those that nobody is known of every ten seconds, so
// that a site without broadcast comes together whoever started first.
func (c *core) seek(now time.Time, schedule int) {
	if c.leaving || schedule != c.seeks {
		return
	}
	known := map[netip.Addr]bool{}
	for _, p := range c.peers {
		if p.state == live {
			for _, w := range p.paths {
				known[w.addr.Addr()] = true
			}
		}
	}
	var lost []netip.AddrPort
	for _, s := range c.seeds {
		if !known[s.Addr()] {
			lost = append(lost, s)
		}
	}
	c.exchange(now, lost...)
	c.at(now.Add(run.Jitter(min(10*burstGap, c.period), 0.2)), func(now time.Time) { c.seek(now, schedule) })
}

// askEverything repeats the questions of the start, when there is a new
// interface to ask on.
func (c *core) askEverything(now time.Time) {
	for s := range c.wanted {
		c.asks[s] = burst
	}
	if c.all {
		c.asks[registry.AllServices] = burst
	}
	if len(c.asks) > 0 && !c.asking {
		c.asking = true
		c.query(now)
	}
}

// query asks for all services with questions left, until none has.
func (c *core) query(now time.Time) {
	c.asking = false
	if c.leaving || len(c.asks) == 0 {
		return
	}
	c.ask(now, slices.Collect(maps.Keys(c.asks)))
	c.asking = true
	c.at(now.Add(burstGap), c.query)
}

// ask asks everyone for services, once.
func (c *core) ask(now time.Time, services []string) {
	if c.leaving {
		return
	}
	body, names := &wire.Query{Services: services}, 0
	for _, s := range services {
		names += len(s) + 1
		if c.asks[s]--; c.asks[s] <= 0 {
			delete(c.asks, s)
		}
		if c.wanted[s] {
			continue
		}
		c.at(now.Add(settleTime), func(time.Time) { c.settle(s) })
	}
	if slices.Contains(services, registry.AllServices) || names > c.room(c.self)-32 {
		body.Services = nil
	}
	body.Nonce = c.newQuery(now, true)
	c.send(query, body, outbound{group: true})
	c.exchange(now, c.seeds...)
}

func (c *core) newQuery(now time.Time, group bool) int64 {
	for n, q := range c.queries {
		if now.After(q.until) {
			delete(c.queries, n)
		}
	}
	n := c.nonce()
	c.queries[n] = queried{group: group, until: now.Add(nonceLife)}
	return n
}

// settle: whoever has something to say about the service has said it.
func (c *core) settle(service string) {
	if service == registry.AllServices && c.all {
		c.confirm = true
	}
	if settled, ok := c.wanted[service]; ok && !settled {
		c.wanted[service] = true
		c.touch(service)
	}
}

// exchange asks by unicast for what is wanted and for whom the other knows.
func (c *core) exchange(now time.Time, addrs ...netip.AddrPort) {
	if len(addrs) == 0 {
		return
	}
	body := &wire.Query{Nonce: c.newQuery(now, false), Exchange: new(true), Services: c.wantedNames()}
	o := outbound{}
	for _, a := range addrs {
		o.to = append(o.to, path{addr: a})
	}
	c.send(query, body, o)
}

// wantedNames is nil for everything, or when naming them takes too much room.
func (c *core) wantedNames() []string {
	if c.all {
		return nil
	}
	var names []string
	used := 0
	for s := range c.wanted {
		names = append(names, s)
		used += len(s) + 1
	}
	if used > c.room(c.self)-32 {
		return nil
	}
	return names
}
