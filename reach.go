package skerry

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// reach is where this host connects to for an endpoint: its address, or, where a
// host in several networks has the endpoint, the address in a network of this host.
func (n *Node) reach(e *rpc.Endpoint) string {
	return registry.Reach(e.Addr, n.lists.Tags(e), n.networks.now(time.Now()))
}

// reachMember is the same for a process.
func (n *Node) reachMember(m member) string {
	tags := map[string]string{registry.AlsoTag: n.members.also(m)}
	return registry.Reach(m.Addr, tags, n.networks.now(time.Now()))
}

// networks are those that this host has an address in, as they were at most
// hostAgain ago.
type networks struct {
	mu   sync.Mutex
	at   time.Time
	list []netip.Prefix // never written to again
}

func (o *networks) now(now time.Time) []netip.Prefix {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || now.Sub(o.at) > hostAgain {
		o.at = now
		o.list = networksOf()
	}
	return o.list
}

// networksOf reads the networks of this host. Link-local ones are left out: their
// addresses mean something on one link only.
func networksOf() (list []netip.Prefix) {
	addrs, _ := net.InterfaceAddrs() // without them the next look may find some
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Masked())
		}
	}
	return list
}
