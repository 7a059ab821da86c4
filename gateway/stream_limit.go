package gateway

import (
	"net/http"
	"net/netip"
	"sync"

	"github.com/skerry/skerry/internal/connlimit"
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
	addr, _ := netip.ParseAddr(client) // what is no address counts as one
	from := connlimit.NetworkOf(addr)
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
