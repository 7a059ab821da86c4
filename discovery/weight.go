package discovery

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// candidate is a member in the form for balancers. Views hold candidates in slices, so that a pick
// reads little memory.
type candidate struct {
	ep     *rpc.Endpoint
	weight int                // > 0; in tenths, so that a warming member of weight 1 has a fraction
	in     *registry.Instance // where it is, for routes of the site's policy
}

// alias draws an index by weight in constant time (Vose's method). The zero
// value of threshold means that all weights are equal.
type alias struct {
	n         uint32
	threshold []uint32 // of 2^32: below it the column's own index, else the other
	other     []uint32
}

func newAlias(cs []candidate) alias {
	a := alias{n: uint32(len(cs))}
	if !slices.ContainsFunc(cs, func(c candidate) bool { return c.weight != cs[0].weight }) {
		return a
	}
	total := 0
	for _, c := range cs {
		total += c.weight
	}
	a.threshold, a.other = make([]uint32, a.n), make([]uint32, a.n)
	share := make([]float64, a.n)
	var small, large []uint32
	for i, c := range cs {
		share[i] = float64(c.weight) * float64(a.n) / float64(total)
		if share[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.threshold[s], a.other[s] = uint32(share[s]*(1<<32)), l
		if share[l] -= 1 - share[s]; share[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // full columns, and the rest from rounding
		a.threshold[i], a.other[i] = 1<<32-1, i
	}
	return a
}

// draw returns an index below n.
func (a *alias) draw() uint32 {
	r := rand.Uint64()
	hi, _ := bits.Mul64(r, uint64(a.n)) // even over 0..n-1 by the upper bits
	i := uint32(hi)
	if a.threshold == nil || uint32(r) < a.threshold[i] {
		return i
	}
	return a.other[i]
}

// lessBusy draws two by weight and takes the one with fewer calls in flight for its weight. Of an
// even pair it takes the first, so that idle members are chosen by weight alone.
func (a *alias) lessBusy(cs []candidate) *candidate {
	i := a.draw()
	if a.n == 1 {
		return &cs[0]
	}
	j := a.draw()
	for try := 0; j == i && try < 2; try++ {
		j = a.draw()
	}
	if j == i {
		j = (i + 1) % a.n
	}
	x, y := &cs[i], &cs[j]
	if y.ep.Pending()*int64(x.weight) < x.ep.Pending()*int64(y.weight) {
		return y
	}
	return x
}
