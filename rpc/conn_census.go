package rpc

import (
	"container/heap"
	linked "container/list"
	"net/netip"
)

// connCensus holds connections by source address, the oldest first, and finds the
// address with the most. Its owner's lock guards it.
type connCensus struct {
	n       int
	sources map[netip.Addr]*source
	most    largest
}

// source is one source address with its connections.
type source struct {
	addr  netip.Addr
	conns *linked.List
	at    int // in the heap
}

// censusPlace is a connection's place in a census.
type censusPlace struct {
	source *source
	place  *linked.Element
}

func (c *connCensus) add(of *serverConn) {
	s := c.sources[of.source]
	if s == nil {
		s = &source{addr: of.source, conns: linked.New()}
		if c.sources == nil {
			c.sources = map[netip.Addr]*source{}
		}
		c.sources[s.addr] = s
		heap.Push(&c.most, s)
	}
	of.listed = censusPlace{s, s.conns.PushBack(of)}
	heap.Fix(&c.most, s.at)
	c.n++
}

func (c *connCensus) remove(of *serverConn) {
	s := of.listed.source
	s.conns.Remove(of.listed.place)
	of.listed = censusPlace{}
	c.n--
	if s.conns.Len() > 0 {
		heap.Fix(&c.most, s.at)
		return
	}
	heap.Remove(&c.most, s.at)
	delete(c.sources, s.addr)
}

// worst returns the oldest connection of the address that has the most, or nil.
func (c *connCensus) worst() *serverConn {
	if len(c.most) == 0 {
		return nil
	}
	return c.most[0].conns.Front().Value.(*serverConn)
}

// largest is a heap of the addresses, the one with the most connections first.
type largest []*source

func (l largest) Len() int           { return len(l) }
func (l largest) Less(i, j int) bool { return l[i].conns.Len() > l[j].conns.Len() }
func (l largest) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at, l[j].at = i, j
}
func (l *largest) Push(x any) {
	s := x.(*source)
	s.at = len(*l)
	*l = append(*l, s)
}
func (l *largest) Pop() any {
	last := len(*l) - 1
	s := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return s
}
