package discovery

import (
	"slices"

	"github.com/skerry/skerry/registry"
)

// Points on the ring: 64 for the default weight (shares then differ by about
// an eighth), in proportion for others, 512 bytes for each member.
const (
	ringPoints    = 64
	maxRingPoints = 16 * ringPoints
)

// ring is a consistent hash: each member owns the arcs before its points. A
// point's place follows from the member's address and version alone, so all consumers
// agree, a restart keeps its keys, and a change moves only the keys of the
// members that came or went. A ring is immutable; with makes the next one.
type ring struct {
	points []uint64  // upper half: place; lower half: slot; sorted
	slots  []*member // slot 0 is free
	free   []uint32
}

// with returns the ring of these members: r itself when nothing changed. It
// numbers new members by their slot field.
func (r *ring) with(members []*member) *ring {
	keep := make([]bool, len(r.slots))
	var added []*member
	kept := 0
	for _, m := range members {
		if m.slot != 0 && int(m.slot) < len(r.slots) && r.slots[m.slot] == m && m.points == pointsOf(m) {
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
	return next
}

// place gives slots to members and returns their points, sorted.
func (r *ring) place(added []*member) []uint64 {
	var points []uint64
	for _, m := range added {
		if n := len(r.free); n > 0 {
			m.slot, r.free = r.free[n-1], r.free[:n-1]
			r.slots[m.slot] = m
		} else {
			m.slot = uint32(len(r.slots))
			r.slots = append(r.slots, m)
		}
		m.points = pointsOf(m)
		h := hash(m.ep.Addr + "/" + m.ep.Version)
		for range m.points {
			h = scramble(h)
			points = append(points, h&^0xffffffff|uint64(m.slot))
		}
	}
	slices.Sort(points)
	return points
}

// pointsOf is the number of points that a member's weight asks for.
func pointsOf(m *member) int {
	return min(max(1, m.in.EffectiveWeight()*ringPoints/registry.DefaultWeight), maxRingPoints)
}

// merge unites the old points whose slot is kept with new ones.
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

// find walks the ring from the key's place on and returns the first member
// that ok accepts, nil when none does.
func (r *ring) find(key string, ok func(*member) bool) *member {
	if len(r.points) == 0 {
		return nil
	}
	at, _ := slices.BinarySearch(r.points, scramble(hash(key))&^0xffffffff)
	for k := range r.points {
		p := r.points[(at+k)%len(r.points)]
		if m := r.slots[uint32(p)]; ok(m) {
			return m
		}
	}
	return nil
}

// hash is FNV-1a: the same in every process, whatever its language.
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
