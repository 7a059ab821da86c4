package broadcast

import (
	"net/netip"
	"slices"
	"time"
)

// Senders that have not answered yet take places. A flood of made-up senders
// fills the places of the address that it comes from, and no others: the
// address with the most places loses its oldest one first.
const (
	fewPlaces   = 8            // an address with more has a share of the probes with its like only
	hostPeers   = maxPeers / 4 // peers of one address, once half of all are taken
	crowdPlaces = 256          // addresses that are told apart in a crowd of strangers
)

// places are the unproven peers by the address that they were first heard
// from, the oldest first.
type places struct {
	by map[netip.Addr][]*peer
	n  int
}

func newPlaces() places { return places{by: map[netip.Addr][]*peer{}} }

func (s *places) add(p *peer) {
	s.by[p.from] = append(s.by[p.from], p)
	s.n++
}

func (s *places) remove(p *peer) {
	list := s.by[p.from]
	i := slices.Index(list, p)
	if i < 0 {
		return
	}
	if len(list) == 1 {
		delete(s.by, p.from)
	} else {
		s.by[p.from] = slices.Delete(list, i, i+1)
	}
	s.n--
}

// loser is who gives its place to a newcomer of an address: the oldest of the
// address with the most places; of many addresses with as many, the oldest of
// all.
func (s *places) loser(from netip.Addr) *peer {
	own := s.by[from]
	var best []*peer
	most := len(own) + 1 // with the newcomer
	if len(own) > 0 {
		best = own
	}
	for _, list := range s.by {
		if n := len(list); best == nil || n > most || n == most && list[0].since.Before(best[0].since) {
			best, most = list, max(n, most)
		}
	}
	if best == nil {
		return nil
	}
	return best[0]
}

// crowded reports whether an address has more places than an honest host of a
// few processes takes.
func (s *places) crowded(from netip.Addr) bool { return len(s.by[from]) > fewPlaces }

// strangers counts the senders that were heard for the first time lately. All
// those of one address count as one for the others.
type strangers struct {
	since time.Time
	by    map[netip.Addr]int
}

// crowd notes a stranger and reports whether it is one of many.
func (s *strangers) crowd(now time.Time, from netip.Addr) bool {
	if s.by == nil || now.Sub(s.since) > crowdGrace {
		s.since, s.by = now, map[netip.Addr]int{}
	}
	if _, known := s.by[from]; known || len(s.by) < crowdPlaces {
		s.by[from]++
	}
	return s.by[from] >= crowd || len(s.by) >= crowd
}
