package discovery

import (
	"cmp"
	"slices"
)

// cycleSlack bounds a cycle: 4 places for each member and this many more.
const cycleSlack = 1 << 14

// cycle lists indexes in the order of weighted round robin. Each index occurs as often as its
// weight asks for, as evenly spread as possible. A nil cycle of members of equal weight is 0, 1, …
// n-1.
type cycle []uint32

// newCycle spreads the places of member i over the unit interval, at (k + phase) / places for k =
// 0, 1, …, and lists them in order. Different phases keep members of equal weight apart.
func newCycle(cs []candidate) cycle {
	places := quotas(cs)
	if places == nil {
		return nil
	}
	type place struct {
		at float64
		i  uint32
	}
	var all []place
	phase := 0.5
	for i, n := range places {
		for k := range n {
			all = append(all, place{(float64(k) + phase) / float64(n), uint32(i)})
		}
		if phase += 0.6180339887; phase >= 1 { // the golden ratio spreads any number of phases evenly
			phase--
		}
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.i, b.i)) })
	c := make(cycle, len(all))
	for k, p := range all {
		c[k] = p.i
	}
	return c
}

// quotas are the numbers of places in the ratio of the weights, at least one each; nil when all are
// equal.
func quotas(cs []candidate) []int {
	divisor, total, equal := 0, 0, true
	for _, c := range cs {
		divisor = gcd(c.weight, divisor)
		total += c.weight
		equal = equal && c.weight == cs[0].weight
	}
	if equal {
		return nil
	}
	limit := 4*len(cs) + cycleSlack
	places := make([]int, len(cs))
	for i, c := range cs {
		places[i] = c.weight / divisor
		if total/divisor > limit {
			places[i] = max(1, int(float64(c.weight)*float64(limit)/float64(total)+0.5))
		}
	}
	return places
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at is the index for the call number count.
func (c cycle) at(count uint64, n int) int {
	if c == nil {
		return int(count % uint64(n))
	}
	return int(c[count%uint64(len(c))])
}
