package membership

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/reach"
)

// networksAgain is the time between two looks at the networks of this host.
const networksAgain = 2 * time.Second

// Reach is where this host connects to for an instance: its address, or, where a
// host in several networks has it, the address in a network of this host. tags are
// the instance's.
func (m *Membership) Reach(addr string, tags map[string]string) string {
	return reach.Address(addr, tags, m.networks.now(time.Now()))
}

// reach is the same for a process.
func (m *Membership) reach(k Member) string {
	return m.Reach(k.Addr, map[string]string{reach.AlsoTag: m.list.also(k)})
}

// networks are those that this host has an address in, as they were at most
// networksAgain ago.
type networks struct {
	mu   sync.Mutex
	at   time.Time
	list []netip.Prefix // never written to again
}

func (o *networks) now(now time.Time) []netip.Prefix {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || now.Sub(o.at) > networksAgain {
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
