package broadcast

import (
	"bytes"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// A list that does not fit in a datagram is fetched from its sender, or requested in parts. Both
// cost this process and the address that the packet names, so both are paced by peer. A sender that
// repeatedly announces a list that it does not deliver gets no requests for some time.
const (
	fetchGap       = time.Second // after a failed fetch, doubled by each; and between two requests of parts
	fetchTries     = 6           // failures in a row
	fetchPause     = 10 * time.Minute
	fetchBusyRetry = 200 * time.Millisecond // before a fetch without a place is tried again
	partsEvery     = burstGap / 2
)

// errBusy: too many fetches are under way here. It says nothing about the peer.
var errBusy = errors.New("too many fetches under way")

// longListing is the state of fetching the peer's long lists.
type longListing struct {
	order    *fetchOrder // the newest one, until it is carried out
	underway string      // hash of the list that is being fetched
	answered bool        // a part of it has come
	timed    bool        // a timer carries out the order
	parts    string      // hash of the list of which everything wanted came in parts

	fetchFails int // in a row; then parts are requested until fetchAfter
	fetchAfter time.Time
	partsFails int // in a row without any answer
	partsAfter time.Time
}

// fetchListing fetches a long list that a peer has announced.
func (c *core) fetchListing(p *peer, order fetchOrder, now time.Time) {
	p.order = &order
	c.fetchNext(p, now)
}

func (c *core) fetchNext(p *peer, now time.Time) {
	if p.order == nil || p.underway != "" || p.timed || p.state != live {
		return
	}
	order := *p.order
	fetch := c.canFetch && order.addr != "" && !now.Before(p.fetchAfter)
	if !fetch && now.Before(p.partsAfter) {
		p.timed = true
		c.at(p.partsAfter, func(now time.Time) {
			p.timed = false
			if c.peers[p.owner] == p {
				c.fetchNext(p, now)
			}
		})
		return
	}
	p.order = nil
	if p.hash == order.hash || p.parts == order.hash {
		return
	}
	p.underway, p.answered = order.hash, false
	if fetch && order.cut {
		c.requeryCut(p, order, now)
		return
	}
	if fetch {
		c.fetches = append(c.fetches, order)
		return
	}
	c.askParts(p, order, burst, now)
}

// fetched takes a list that was fetched over TCP. It counts only when it has the hash in the
// authenticated packet.
func (c *core) fetched(now time.Time, order fetchOrder, list []registry.Instance, err error) {
	p := c.peers[order.owner]
	if p == nil || p.state != live {
		return
	}
	switch {
	case errors.Is(err, errBusy):
		c.at(now.Add(c.jitter(fetchBusyRetry, 0.5)), func(now time.Time) {
			if p.underway == order.hash && p.state == live && c.peers[p.owner] == p {
				c.fetches = append(c.fetches, order)
			}
		})
		return
	case err != nil || len(list) > maxFromPeer || !bytes.Equal(listing.Hash(list), []byte(order.hash)):
		c.stats.FetchFailed++
		c.log.Info("LAN listing not fetched", "peer", p.owner.String(), "addr", order.addr, "err", err)
		if p.fetchFails++; p.fetchFails >= fetchTries {
			p.fetchAfter = now.Add(fetchPause)
			c.notDelivered(order, now)
		} else {
			p.fetchAfter = now.Add(fetchGap << p.fetchFails)
		}
		c.askParts(p, order, burst, now)
		return
	}
	p.fetchFails = 0
	p.hash = order.hash
	said := map[registry.ID]registry.Instance{}
	for _, in := range list {
		if in.Owner = p.owner; c.wants(in.Service) {
			said[in.ID()] = in
		}
	}
	c.replace(p, said, func(string) bool { return true }, order.from, order.solicited, now)
	p.underway = ""
	c.fetchNext(p, now)
}

// askParts requests a long list in parts by datagrams, when the peer's port takes no connections.
// It does so three times, because packets get lost.
func (c *core) askParts(p *peer, order fetchOrder, tries int, now time.Time) {
	if p.state != live || c.peers[p.owner] != p || len(p.paths) == 0 {
		p.underway = ""
		return
	}
	whole := c.isWhole(p, order.hash)
	if !whole && tries > 0 {
		c.askForParts(p, now)
		c.at(now.Add(partsEvery), func(now time.Time) { c.askParts(p, order, tries-1, now) })
		return
	}
	p.partsAfter = now.Add(fetchGap)
	switch {
	case whole:
		p.partsFails = 0
	case p.answered:
		p.partsFails = 0
		if !c.all {
			p.parts = order.hash
		}
	default:
		if p.partsFails++; p.partsFails >= fetchTries {
			p.partsFails, p.partsAfter = 0, now.Add(fetchPause)
			c.notDelivered(order, now)
		}
	}
	p.underway = ""
	c.fetchNext(p, now)
}

func (c *core) askForParts(p *peer, now time.Time) {
	to := []path{p.paths[0].path} // the address where the peer has answered, whatever the packet's source
	body := &wire.Query{Nonce: c.nonce(), Services: c.wantedNames(), Parts: new(true)}
	body.Pad = c.pad(body, c.directQuerySize())
	c.await(body.Nonce, p.owner, to, now)
	c.send(query, body, outbound{to: to})
}

// requeryCut queries once more, by a longer query, for a list that was cut because the address had
// not answered. The peer probes back meanwhile and gets its answer. A list that has not come after
// that is fetched. When power returns, lists grow while hosts learn of each other, and a fetch
// costs dozens of packets.
func (c *core) requeryCut(p *peer, order fetchOrder, now time.Time) {
	if len(p.paths) > 0 {
		c.askForParts(p, now)
	}
	order.cut = false
	c.at(now.Add(fetchBusyRetry), func(now time.Time) {
		if c.peers[p.owner] != p || p.underway != order.hash {
			return
		}
		p.underway = ""
		if !c.isWhole(p, order.hash) && p.parts != order.hash && p.order == nil {
			p.order = &order
		}
		c.fetchNext(p, now)
	})
}

// notDelivered records that a peer has repeatedly announced a list without delivering it. No
// request goes to it for some minutes. Registrations in its packets still count.
func (c *core) notDelivered(order fetchOrder, now time.Time) {
	c.stats.Undelivered++
	c.refuse(now, errDeliver, order.from.addr)
}

// isWhole reports whether all registrations behind the hash are here.
func (c *core) isWhole(p *peer, hash string) bool {
	if string(listing.Hash(slices.Collect(maps.Values(p.list)))) == hash {
		p.hash = hash
	}
	return p.hash == hash
}

// fetchAddr completes an address without a host by the packet's source.
func fetchAddr(addr string, from path) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		return net.JoinHostPort(from.addr.Addr().String(), port)
	}
	return addr
}
