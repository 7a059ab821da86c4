package broadcast

import (
	"net/netip"
	"slices"
	"time"
)

// Senders that have not answered yet take places. A flood of made-up senders fills only the places
// of its source address, because the address with the most places loses its oldest one first.
const (
	fewUnproven   = 8            // an address with more shares the probes of such addresses
	peersPerHost  = maxPeers / 4 // peers of one address, once half of all are taken
	strangerAddrs = 256          // addresses that are counted among many strangers
)

// unprovenSet holds the unproven peers. Each change takes the same time whatever their number,
// because a flood changes them at its own rate.
type unprovenSet struct {
	by     map[netip.Addr][]*peer          // by the address that they were first heard from, the oldest first
	levels map[int]map[netip.Addr]struct{} // the addresses by their number of places
	most   int                             // the highest of these numbers
	order  []*peer                         // all, the oldest first, including some without a place
	n      int
}

func newPlaces() unprovenSet {
	return unprovenSet{by: map[netip.Addr][]*peer{}, levels: map[int]map[netip.Addr]struct{}{}}
}

func (s *unprovenSet) add(p *peer) {
	s.set(p.from, append(s.by[p.from], p))
	p.inUnproven = true
	s.n++
	s.order = append(s.order, p)
	if len(s.order) > 2*maxUnproven {
		s.order = slices.DeleteFunc(s.order, func(p *peer) bool { return !p.inUnproven })
	}
}

func (s *unprovenSet) remove(p *peer) {
	if !p.inUnproven {
		return
	}
	p.inUnproven = false
	s.n--
	list := s.by[p.from]
	s.set(p.from, slices.Delete(list, slices.Index(list, p), slices.Index(list, p)+1))
}

// set replaces the places of an address.
func (s *unprovenSet) set(at netip.Addr, list []*peer) {
	before, after := len(s.by[at]), len(list)
	if before != after {
		delete(s.levels[before], at)
		if len(s.levels[before]) == 0 {
			delete(s.levels, before)
		}
	}
	if after == 0 {
		delete(s.by, at)
	} else {
		s.by[at] = list
		if s.levels[after] == nil {
			s.levels[after] = map[netip.Addr]struct{}{}
		}
		s.levels[after][at] = struct{}{}
	}
	s.most = max(s.most, after)
	for s.most > 0 && s.levels[s.most] == nil {
		s.most--
	}
}

// evictable returns the peer that gives its place to a new one of an address: the oldest of an
// address with the most places, which is the new one's own when it would have as many. When each
// address has one, it is the oldest of all.
func (s *unprovenSet) evictable(from netip.Addr) *peer {
	if own := s.by[from]; len(own) > 0 && len(own)+1 >= s.most {
		return own[0]
	}
	if s.most > 1 {
		for at := range s.levels[s.most] {
			return s.by[at][0]
		}
	}
	for !s.order[0].inUnproven {
		s.order = s.order[1:]
	}
	return s.order[0]
}

// overShare reports whether an address has more places than an honest host of a
// few processes takes.
func (s *unprovenSet) overShare(from netip.Addr) bool { return len(s.by[from]) > fewUnproven }

// strangers counts the senders that were first heard lately. Those of one address count as one for
// other addresses.
type strangers struct {
	since time.Time
	by    map[netip.Addr]int
}

// many adds a stranger and reports whether it is one of many.
func (s *strangers) many(now time.Time, from netip.Addr) bool {
	if s.by == nil || now.Sub(s.since) > strangerGrace {
		s.since, s.by = now, map[netip.Addr]int{}
	}
	if _, known := s.by[from]; known || len(s.by) < strangerAddrs {
		s.by[from]++
	}
	return s.by[from] >= coalesceFrom || len(s.by) >= coalesceFrom
}
