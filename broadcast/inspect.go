package broadcast

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/registry"
)

// Offered returns the registrations that this process announces now, in the order of
// registry.Compare. Peers that know their hash ask for them: see Config.FetchAddr.
func (r *Registry) Offered() []registry.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.offeredList()
}

// Stats returns the counters since New.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.core.stats
	s.OtherKey = r.core.otherKeys.since(time.Now().Add(-r.core.otherKeyLife()))
	for _, i := range r.perLink {
		s.Interfaces = append(s.Interfaces, *i)
	}
	slices.SortFunc(s.Interfaces, func(a, b InterfaceStats) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr))
	})
	return s
}

// Peer is another process that has proved to be on the LAN.
type Peer struct {
	Owner         registry.Owner
	Addrs         []netip.AddrPort // source addresses of its packets, the newest first
	Heard         time.Time        // when it last proved that it lives
	Broadcast     bool             // broadcast passes between it and this process; otherwise unicast is used
	Registrations int              // of services that are watched here
}

// Peers returns the live peers that matter to this process: providers of watched services, and
// peers met through seeds.
func (r *Registry) Peers() []Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Peer
	now := time.Now()
	for _, p := range r.core.peers {
		if p.state != live {
			continue
		}
		peer := Peer{Owner: p.owner, Heard: p.heard, Registrations: len(p.list), Broadcast: !r.core.unicastOnly(p, now)}
		for _, w := range p.paths {
			peer.Addrs = append(peer.Addrs, w.addr)
		}
		out = append(out, peer)
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.Owner.String(), b.Owner.String()) })
	return out
}
