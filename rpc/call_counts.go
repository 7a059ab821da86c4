package rpc

import (
	"net"
	"sync/atomic"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
)

// countKey identifies the calls of a connection that are counted together, one kind of call.
type countKey struct {
	served *served
	method *method
	caller string
}

// counted is what a connection knows about one kind of call.
type counted struct {
	key    countKey
	cell   *health.Cell // nil: nothing is counted
	bad    error        // why calls of this kind are refused; nil: they are not
	inline inlinePolicy

	policed *policed // by the site's policy; nil: not looked up yet

	kind      atomic.Pointer[recent.Kind] // remembers the calls
	kindFrom  *PeerInfo                   // the caller of kind
	kindFacts *callerFacts                // likewise
}

// count returns what is known about a kind of call; only the reader calls it.
func (c *serverConn) count(k countKey) *counted {
	if c.last != nil && c.last.key == k {
		return c.last
	}
	known := c.counts[k]
	if known == nil && k.caller != "" {
		k.caller = c.s.callers.name(c, k.caller)
		known = c.counts[k]
	}
	if known == nil {
		if len(c.counts) >= maxKinds {
			clear(c.counts)
		}
		known = &counted{key: k, cell: c.cell(k), bad: c.otherVersion(k.served)}
		c.counts[k] = known
	}
	c.last = known
	return known
}

// maxKinds is how many kinds of calls a connection remembers. At more it forgets all and begins
// anew.
const maxKinds = 128

func (c *serverConn) cell(k countKey) *health.Cell {
	if c.s.cfg.Health == nil {
		return nil
	}
	caller := k.caller
	if caller == "" {
		caller, _, _ = net.SplitHostPort(c.peer)
	}
	return c.s.cfg.Health.Cell(health.Key{
		Side: health.Server, Service: k.served.name, Method: k.method.name, Peer: caller, Version: k.served.version,
	})
}
