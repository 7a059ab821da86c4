package spread

import (
	"math/rand/v2"
	"slices"
)

// holding is what a neighbour has of a blob.
type holding struct {
	whole          bool
	here, underWay []byte // sets of pieces
}

func (h holding) has(i int) bool { return h.whole || bit(h.here, i) }

func bit(set []byte, i int) bool { return i/8 < len(set) && set[i/8]&(1<<(i%8)) != 0 }

// count is the number of pieces that are here.
func (h holding) count(pieces int) (n int) {
	for i := range pieces {
		if h.has(i) {
			n++
		}
	}
	return n
}

// giver is a neighbour of which pieces can be asked.
type giver struct {
	near bool // in the own zone
	free bool // it may be asked for one more piece now
	holding
}

// pick chooses the next piece and its giver, -1 without one. Pieces that few have come first, so that hosts that fetch
// at the same time have different ones to give to each other; and the giver with the fewest pieces, so that a host with
// all of them gives the rare ones. A piece is taken from another zone only when no host of the own zone has it, or is
// fetching it; with alone the latter does not count.
func pick(lacking []int, pieces int, givers []giver, alone bool) (piece, from int) {
	piece, from = -1, -1
	rand.Shuffle(len(lacking), func(i, j int) { lacking[i], lacking[j] = lacking[j], lacking[i] })
	rarest := 0
	for _, i := range lacking {
		copies, near := 0, false
		for _, g := range givers {
			if g.has(i) || bit(g.underWay, i) {
				copies++
				near = near || g.near && (g.has(i) || !alone)
			}
		}
		if piece >= 0 && copies >= rarest {
			continue
		}
		if g := giverOf(i, pieces, givers, near); g >= 0 {
			piece, from, rarest = i, g, copies
		}
	}
	return piece, from
}

// giverOf is the giver of one piece; near: of the own zone only.
func giverOf(i, pieces int, givers []giver, near bool) int {
	order := rand.Perm(len(givers))
	slices.SortStableFunc(order, func(a, b int) int { return givers[a].count(pieces) - givers[b].count(pieces) })
	for _, n := range order {
		if g := givers[n]; g.free && g.has(i) && (g.near || !near) {
			return n
		}
	}
	return -1
}
