package discovery

import (
	"math/bits"
	"slices"

	"github.com/skerry/skerry/registry"
)

// A key is looked up at several places. The member nearest behind one of them gets it (multi-probe
// consistent hashing, Appleton and O'Reilly, 2015). 4 probes into 8 points of each member spread
// the keys as evenly as 64 points with one probe: shares differ by about an eighth. They need an
// eighth of the memory.
const (
	ringProbes    = 4
	ringPoints    = 8 // for the default weight; others in proportion
	maxRingPoints = 16 * ringPoints
)

// ring is a consistent hash: each member owns the arcs before its points. A point's place follows
// from the member's address and version alone. All consumers therefore agree, a restart keeps its
// keys, and a change moves only the keys of the members that came or went. A ring is immutable;
// with makes the next one.
type ring struct {
	points []uint64  // upper half: place; lower half: slot; sorted
	starts []uint32  // for each of the equal parts of the ring, its first point
	shift  int       // shift of a place that gives its part
	slots  []*member // slot 0 is free
	free   []uint32
	pulls  []float32 // by slot; nil: all are 1
}

// with returns the ring of these members: r itself when nothing changed. It
// numbers new members by their slot field.
func (r *ring) with(members []*member) *ring {
	keep := make([]bool, len(r.slots))
	var added []*member
	kept := 0
	for _, m := range members {
		if m.slot != 0 && int(m.slot) < len(r.slots) && r.slots[m.slot] == m && int(m.points) == pointsOf(m) &&
			m.pull == pullOf(m) {
			keep[m.slot] = true
			kept++
		} else {
			added = append(added, m)
		}
	}
	removed := len(r.slots) - 1 - len(r.free) - kept
	if len(r.slots) > 0 && len(added) == 0 && removed == 0 {
		return r
	}
	next := &ring{slots: slices.Clone(r.slots), free: slices.Clone(r.free)}
	if len(next.slots) == 0 {
		next.slots = make([]*member, 1)
	}
	for slot, m := range r.slots {
		if m != nil && !keep[slot] {
			next.slots[slot] = nil
			next.free = append(next.free, uint32(slot))
		}
	}
	next.points = merge(r.points, keep, next.place(added))
	next.divide()
	next.weigh()
	return next
}

// size is the number of members.
func (r *ring) size() int { return max(0, len(r.slots)-1-len(r.free)) }

// weigh stores the members' pulls in one slice, if they differ.
func (r *ring) weigh() {
	same := func(m *member) bool { return m == nil || m.pull == 1 }
	if !slices.ContainsFunc(r.slots, func(m *member) bool { return !same(m) }) {
		return
	}
	r.pulls = make([]float32, len(r.slots))
	for slot, m := range r.slots {
		if m != nil {
			r.pulls[slot] = m.pull
		}
	}
}

// place gives slots to members and returns their points, sorted.
func (r *ring) place(added []*member) []uint64 {
	count := 0
	for _, m := range added {
		count += pointsOf(m)
	}
	points := make([]uint64, 0, count)
	r.slots = slices.Grow(r.slots, max(0, len(added)-len(r.free)))
	for _, m := range added {
		if n := len(r.free); n > 0 {
			m.slot, r.free = r.free[n-1], r.free[:n-1]
			r.slots[m.slot] = m
		} else {
			m.slot = uint32(len(r.slots))
			r.slots = append(r.slots, m)
		}
		m.points, m.pull = int32(pointsOf(m)), pullOf(m)
		h := hash(m.ep.Addr + "/" + m.ep.Version)
		for range m.points {
			h = scramble(h)
			points = append(points, h&^0xffffffff|uint64(m.slot))
		}
	}
	slices.Sort(points)
	return points
}

// pointsOf is the number of points that a member's weight asks for, rounded up.
func pointsOf(m *member) int {
	return min((m.weight()*ringPoints+registry.DefaultWeight-1)/registry.DefaultWeight, maxRingPoints)
}

// pullOf corrects the rounding of pointsOf: a weaker member must be nearer to win.
func pullOf(m *member) float32 {
	return float32(
		min(m.weight()*ringPoints, maxRingPoints*registry.DefaultWeight),
	) / float32(pointsOf(m)*registry.DefaultWeight)
}

// divide finds the begin of each part of the ring. A part has two to four points, so that a lookup
// takes one or two steps.
func (r *ring) divide() {
	parts := bits.Len(uint(len(r.points) / 4))
	r.shift, r.starts = 64-parts, make([]uint32, 1<<parts)
	part := 0
	for i, p := range r.points {
		for ; part <= int(p>>r.shift); part++ {
			r.starts[part] = uint32(i)
		}
	}
	for ; part < len(r.starts); part++ {
		r.starts[part] = uint32(len(r.points))
	}
}

// merge unites the old points of kept slots with new ones.
func merge(old []uint64, keep []bool, added []uint64) []uint64 {
	out := make([]uint64, 0, len(old)+len(added))
	for _, p := range old {
		if !keep[uint32(p)] {
			continue
		}
		for len(added) > 0 && added[0] < p {
			out, added = append(out, added[0]), added[1:]
		}
		out = append(out, p)
	}
	return append(out, added...)
}

// find returns the member that ok accepts and that is nearest behind one of
// the key's places; nil when ok accepts none.
func (r *ring) find(key string, ok func(*member) bool) (nearest *member) {
	if len(r.points) == 0 {
		return nil
	}
	var least float32
	place := hash(key)
	for range ringProbes {
		place = scramble(place)
		m, distance := r.behind(uint32(place>>32), ok)
		if m == nil {
			return nil
		}
		if d := float32(distance) / m.pull; nearest == nil || d < least {
			nearest, least = m, d
		}
	}
	return nearest
}

// nearest is find without a condition. It reads one member only, because reading members takes most
// of the time in a large ring.
func (r *ring) nearest(key string) *member {
	if len(r.points) == 0 {
		return nil
	}
	var slot uint32
	var least float32
	place := hash(key)
	for try := range ringProbes {
		place = scramble(place)
		at := int(r.starts[place>>32<<32>>r.shift])
		for at < len(r.points) && r.points[at]>>32 < place>>32 {
			at++
		}
		if at == len(r.points) {
			at = 0
		}
		p := r.points[at]
		d := float32(uint32(p>>32) - uint32(place>>32))
		if r.pulls != nil {
			d /= r.pulls[uint32(p)]
		}
		if try == 0 || d < least {
			slot, least = uint32(p), d
		}
	}
	return r.slots[slot]
}

// behind walks the ring from a place to the first member that ok accepts.
func (r *ring) behind(place uint32, ok func(*member) bool) (m *member, distance uint32) {
	at := int(r.starts[uint64(place)<<32>>r.shift])
	for at < len(r.points) && uint32(r.points[at]>>32) < place {
		at++
	}
	for range r.points {
		if at == len(r.points) {
			at = 0
		}
		p := r.points[at]
		if m := r.slots[uint32(p)]; ok(m) {
			return m, uint32(p>>32) - place
		}
		at++
	}
	return nil, 0
}

// hash is FNV-1a, which is the same in every process and language.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// scramble is the finaliser of SplitMix64: every bit of the result depends on
// every bit of x.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
