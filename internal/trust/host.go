package trust

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Member returns the reason why a peer without a site connection does not count as a process of the
// site; nil if it counts. certified says that the peer has shown a certificate of tls.ca.
func (t *Trust) Member(from netip.AddrPort, certified bool) error {
	switch {
	case t.cfg.Mode == Open, t.cfg.Mode == Certificates && certified:
		return nil
	case t.cfg.Mode == Certificates:
		return errors.New("it takes a certificate of tls.ca")
	case !t.Keyless():
		return errors.New("it takes a site connection by the site's key: store that on the other host with skerry " +
			"key set")
	case t.OnHost(from):
		return nil
	}
	return fmt.Errorf("this process has no key of the site, so it believes its own host only: make one with "+
		"skerry key new --cluster %s, and store it on every host with skerry key set --cluster %[1]s", t.cfg.Cluster)
}

// OnHost reports whether a connection comes from this host.
func (t *Trust) OnHost(from netip.AddrPort) bool { return t.host.has(from, time.Now()) }

// ownHost knows the addresses of this host. An open connection from one of them comes from this
// host: the kernel drops packets from outside with such a sender.
type ownHost struct {
	mu    sync.Mutex
	at    time.Time
	addrs []netip.Addr
}

const hostAgain = 2 * time.Second // between two reads of the interfaces

func (h *ownHost) has(a netip.AddrPort, now time.Time) bool {
	ip := a.Addr().Unmap()
	if !a.IsValid() || ip.IsLoopback() {
		return true // not by IP, or by loopback
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() || now.Sub(h.at) > hostAgain {
		h.at, h.addrs = now, h.addrs[:0]
		list, _ := net.InterfaceAddrs() // on an error the next read may find some
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if own, ok := netip.AddrFromSlice(n.IP); ok {
					h.addrs = append(h.addrs, own.Unmap())
				}
			}
		}
	}
	return slices.Contains(h.addrs, ip.WithZone(""))
}
