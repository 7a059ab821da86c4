package gateway

import (
	"net/http"
	"net/netip"
	"sync"
)

// streamCount counts the open streams of users, of all and of each address.
type streamCount struct {
	most, mostFrom int

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// begin counts a stream from an address, until end is called. refused says why it can't be opened.
func (c *streamCount) begin(client string) (end func(), refused *refusal) {
	from := networkOf(client)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.all >= c.most:
		return nil, refuse(http.StatusServiceUnavailable, "%d streams are open here, the limit", c.most)
	case c.from[from] >= c.mostFrom:
		return nil, refuse(http.StatusTooManyRequests, "%d streams are open from your address, the limit", c.mostFrom)
	}
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	c.all++
	c.from[from]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.from[from]--; c.from[from] == 0 {
			delete(c.from, from)
		}
	}, nil
}

// networkOf is what an address counts for. For IPv6 it is the network, as one host owns a whole network.
func networkOf(client string) netip.Prefix {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the number of bits fits the address
	return p
}
