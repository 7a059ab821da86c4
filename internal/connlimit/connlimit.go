package connlimit

import (
	"container/heap"
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limiter keeps the places of connections.
type Limiter[T any] struct {
	most, ofAddress int

	mu      sync.Mutex
	all     int
	sources map[netip.Prefix]*source[T]
	fresh   freshest[T]
	idle    list.List // of *Place that wait for a request, the longest wait first
}

// freshFor is the time for a handshake and the first request. A younger connection without a request keeps its place
// while there are older ones.
const freshFor = time.Second

// source is an address with its connections.
type source[T any] struct {
	name  netip.Prefix
	all   int
	fresh list.List // of *Place without an answered request, the oldest first
	idle  list.List // of *Place that wait for a request, the longest wait first
	at    int       // in the heap
}

// freshest is a heap of sources, the one with most fresh connections first.
type freshest[T any] []*source[T]

func (f freshest[T]) Len() int { return len(f) }
func (f freshest[T]) Less(i, j int) bool {
	a, b := &f[i].fresh, &f[j].fresh
	if a.Len() != b.Len() || a.Len() == 0 {
		return a.Len() > b.Len()
	}
	return a.Front().Value.(*Place[T]).begun.Before(b.Front().Value.(*Place[T]).begun)
}
func (f freshest[T]) Swap(i, j int) {
	f[i], f[j] = f[j], f[i]
	f[i].at, f[j].at = i, j
}

// Push implements heap.Interface.
func (f *freshest[T]) Push(x any) {
	s := x.(*source[T])
	s.at = len(*f)
	*f = append(*f, s)
}

// Pop implements heap.Interface.
func (f *freshest[T]) Pop() any {
	last := len(*f) - 1
	s := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return s
}

// Place is that of one connection.
type Place[T any] struct {
	Conn T

	of     *Limiter[T]
	from   *source[T]
	begun  time.Time
	fresh  *list.Element // in from; nil once a request was answered
	idle   *list.Element // in of; nil while a request is under way
	idleOf *list.Element // in from, likewise
	gone   bool
}

// New returns a limiter of so many connections, and so many of one address; 0 for no limit of an address.
func New[T any](most, ofAddress int) *Limiter[T] {
	return &Limiter[T]{most: most, ofAddress: ofAddress, sources: map[netip.Prefix]*source[T]{}}
}

// Enter gives a connection a place, and returns the one that must go for it: nil, another one, or the new one itself.
// The caller closes the connection that must go, and then calls its Leave.
func (l *Limiter[T]) Enter(from net.Addr, conn T) (p, out *Place[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = &Place[T]{Conn: conn, of: l, begun: time.Now(), from: l.source(SourceOf(from))}
	if l.ofAddress > 0 && p.from.all >= l.ofAddress-l.ofAddress/4 {
		out = surplus[T](&p.from.fresh, &p.from.idle, p.from.all < l.ofAddress)
		if out == nil && p.from.all >= l.ofAddress {
			out = p
		}
	}
	if out == nil && l.all >= l.most-l.most/4 {
		out = surplus[T](&l.fresh[0].fresh, &l.idle, l.all < l.most)
		if out == nil && l.all >= l.most {
			out = p
		}
	}
	l.all++
	p.from.all++
	p.fresh = p.from.fresh.PushBack(p)
	heap.Fix(&l.fresh, p.from.at)
	return p, out
}

// surplus is the connection that must go for a new one, nil for none; room says that there is one place more.
func surplus[T any](fresh, idle *list.List, room bool) *Place[T] {
	first := func(of *list.List) *Place[T] { return of.Front().Value.(*Place[T]) }
	switch {
	case fresh.Len() > 0 && time.Since(first(fresh).begun) >= freshFor:
		return first(fresh)
	case room:
		return nil
	case fresh.Len() > 1:
		return first(fresh)
	case idle.Len() > 0:
		return first(idle)
	case fresh.Len() > 0:
		return first(fresh)
	}
	return nil
}

// source returns the record of an address.
func (l *Limiter[T]) source(name netip.Prefix) *source[T] {
	s := l.sources[name]
	if s == nil {
		s = &source[T]{name: name}
		l.sources[name] = s
		heap.Push(&l.fresh, s)
	}
	return s
}

// SourceOf is the address that a connection counts for.
func SourceOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	return NetworkOf(at.Addr())
}

// NetworkOf is what an address counts for. For IPv6 it is the network, as one host owns a whole network.
func NetworkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the number of bits fits the address; none for the zero Addr
	return p
}

// Open returns the number of connections with a place.
func (l *Limiter[T]) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// Answered notes that the connection has completed a request.
func (p *Place[T]) Answered() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.grown()
}

func (p *Place[T]) grown() {
	if p.fresh == nil || p.gone {
		return
	}
	p.from.fresh.Remove(p.fresh)
	p.fresh = nil
	heap.Fix(&p.of.fresh, p.from.at)
}

// Waits notes that the connection waits for its next request, or that one is under way.
func (p *Place[T]) Waits(waits bool) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.busy()
	if waits && !p.gone && p.fresh == nil {
		p.idle, p.idleOf = p.of.idle.PushBack(p), p.from.idle.PushBack(p)
	}
}

func (p *Place[T]) busy() {
	if p.idle != nil {
		p.of.idle.Remove(p.idle)
		p.from.idle.Remove(p.idleOf)
		p.idle, p.idleOf = nil, nil
	}
}

// From is the address that the connection counts for.
func (p *Place[T]) From() netip.Prefix { return p.from.name }

// Leave frees the place of a connection that has closed.
func (p *Place[T]) Leave() {
	l := p.of
	l.mu.Lock()
	defer l.mu.Unlock()
	p.busy()
	if p.gone {
		return
	}
	p.grown()
	p.gone = true
	l.all--
	if p.from.all--; p.from.all == 0 {
		heap.Remove(&l.fresh, p.from.at)
		delete(l.sources, p.from.name)
	}
}
