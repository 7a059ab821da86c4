package broadcast

import (
	"slices"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// put lists registrations of this process and announces them.
func (c *core) put(now time.Time, list []registry.Instance) {
	for _, in := range list {
		in.Owner = c.self
		c.offered[in.ID()] = in
		c.touch(in.Service)
	}
	c.offeredHash = listing.Hash(c.offeredList())
	if slices.ContainsFunc(list, func(in registry.Instance) bool { return in.Leaving }) {
		c.repeatGoodbye(now, c.announceOnce) // as urgent as a goodbye
		return
	}
	c.announceBurst(now)
}

// drop deregisters registrations of this process by a goodbye.
func (c *core) drop(now time.Time, ids []registry.ID) {
	var gone []registry.ID
	for _, id := range ids {
		if _, ok := c.offered[id]; ok {
			delete(c.offered, id)
			gone = append(gone, id)
			c.touch(id.Service, registry.Departure{ID: id, Kind: registry.Deregistered, When: now})
		}
	}
	if len(gone) == 0 {
		return
	}
	c.offeredHash = listing.Hash(c.offeredList())
	c.repeatGoodbye(now, func(now time.Time) {
		again := slices.DeleteFunc(slices.Clone(gone), func(id registry.ID) bool {
			_, back := c.offered[id]
			return back
		})
		for _, body := range packGoodbyes(again, c.room(c.self)) {
			c.send(goodbye, body, outbound{group: true, to: c.unicasts(now)})
		}
	})
}

// packGoodbyes names the deregistered ones in as many packets as needed.
func packGoodbyes(gone []registry.ID, room int) []*wire.Goodbye {
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

// leave announces that the whole process leaves.
func (c *core) leave(now time.Time) {
	c.leaving = true
	for _, p := range c.peers {
		p.probing = nil
	}
	c.repeatGoodbye(now, func(now time.Time) {
		if !c.leaving {
			return // started again already
		}
		c.send(
			goodbye,
			&wire.Goodbye{Everything: new(true), Token: c.token},
			outbound{group: true, to: c.unicasts(now)},
		)
	})
}

// repeatGoodbye sends a goodbye three times. goodbyesLeft counts the remaining ones.
func (c *core) repeatGoodbye(now time.Time, say func(now time.Time)) {
	c.goodbyesLeft += burst - 1
	say(now)
	for i := 1; i < burst; i++ {
		c.at(now.Add(time.Duration(i)*goodbyeGap), func(now time.Time) {
			c.goodbyesLeft--
			say(now)
		})
	}
}

// announceBurst announces now and twice more, then once in a period.
func (c *core) announceBurst(now time.Time) {
	c.announceRound++
	c.announcesLeft = burst
	c.announce(now, c.announceRound)
}

func (c *core) announce(now time.Time, schedule int) {
	if schedule != c.announceRound || c.leaving {
		return
	}
	c.announceOnce(now)
	wait := c.jitter(c.period, 0.1)
	if c.announcesLeft--; c.announcesLeft > 0 {
		wait = burstGap
	}
	c.at(now.Add(wait), func(now time.Time) { c.announce(now, schedule) })
}

func (c *core) announceOnce(now time.Time) {
	if len(c.offered) > 0 {
		l := pack(c.registrations(now), c.base(), c.room(c.self)-16, nil)
		c.send(announce, &wire.Announce{Listing: l}, outbound{group: true, to: c.unicasts(now)})
	}
}

// offeredList returns the registrations of this process, in order.
func (c *core) offeredList() []registry.Instance {
	list := make([]registry.Instance, 0, len(c.offered))
	for _, in := range c.offered {
		list = append(list, in)
	}
	slices.SortFunc(list, registry.Compare)
	return list
}

func (c *core) registrations(now time.Time) []*wire.Registration {
	list := c.offeredList()
	out := make([]*wire.Registration, len(list))
	for i, in := range list {
		out[i] = listing.Encode(in, now)
	}
	return out
}

// base is a listing without registrations.
func (c *core) base() wire.Listing {
	l := wire.Listing{Hash: c.offeredHash, Seal: sealOf(c.token)}
	if addr := c.fetchAddr(); addr != "" {
		l.Fetch = &addr
	}
	return l
}

// unicasts returns the addresses that broadcast does not reach: the seeds, and peers from which
// only unicast has been seen to pass.
func (c *core) unicasts(now time.Time) []path {
	var to []path
	for _, addr := range c.seeds {
		to = append(to, path{addr: addr})
	}
	for p := range c.everyPeer() {
		if p.state == live && len(p.paths) > 0 && c.unicastOnly(p, now) {
			to = append(to, p.paths[0].path)
		}
	}
	return to
}

// unicastOnly reports whether broadcast has not been seen to pass between the peer and this process
// for two and a half periods.
func (c *core) unicastOnly(p *peer, now time.Time) bool { return now.Sub(p.groupAt) > 5*c.period/2 }

// linksChanged sets the number of interfaces. When one is new, the process announces and queries
// everything again.
func (c *core) linksChanged(now time.Time, links int, fresh bool) {
	c.links = links
	if fresh && links > 0 {
		if len(c.offered) > 0 {
			c.announceBurst(now)
		}
		c.askEverything(now)
	}
}

// restart begins the first life, or a new one after leave.
func (c *core) restart(now time.Time) {
	c.leaving = false
	c.token = c.newToken() // the last life's goodbye has shown its token
	c.seedRound++
	c.querySeeds(now, c.seedRound)
}
