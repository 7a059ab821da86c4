package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Graph says which service may call which. It has no cycles.
type Graph struct {
	Names   []string
	Out     [][]int // by service: the services that it may call
	Entries []int   // services at which requests from outside arrive
	reach   [][]bool
}

// density is the number of outgoing edges per service. FSE 2011 does not give
// that of its graphs; this one is calibrated to its timeliness.
const density = 1.3

// ScaleFree draws a graph of n services by preferential attachment: each
// newcomer calls one or two older services, the more probably the more others
// have to do with them. Requests arrive at every service, as in FSE 2011.
func ScaleFree(rng *rand.Rand, n int) *Graph {
	g := &Graph{}
	ends := []int{0} // a service stands here once for itself and for each of its edges
	for i := range n {
		g.Names = append(g.Names, fmt.Sprintf("s%02d", i))
		g.Entries = append(g.Entries, i)
		var out []int
		for want := edges(rng, i); len(out) < want; {
			if to := ends[rng.IntN(len(ends))]; !slices.Contains(out, to) {
				out = append(out, to)
			}
		}
		g.Out = append(g.Out, out)
		if i == 0 {
			continue
		}
		ends = append(append(ends, i), out...)
		for range out {
			ends = append(ends, i)
		}
	}
	g.close()
	return g
}

// edges is the number of services that the i-th newcomer calls.
func edges(rng *rand.Rand, i int) int {
	n := 1
	if rng.Float64() < density-1 {
		n = 2
	}
	return min(n, i)
}

// Portal is a small site of the shape of examples/portal: two edge services
// and a cron job before shared inner ones.
func Portal() *Graph {
	g := &Graph{Names: []string{"portal", "mobile", "cron", "proc", "auth", "mail", "audit", "db"},
		Entries: []int{0, 1, 2}}
	g.Out = [][]int{{4, 3, 5}, {4, 3}, {3, 6}, {4, 7, 6}, {7}, {4, 6}, {4}, {}}
	g.close()
	return g
}

// Reaches reports whether work of one service can lead to work of another, or
// is that.
func (g *Graph) Reaches(from, to int) bool { return g.reach[from][to] }

// Callers are the services that may call this one directly.
func (g *Graph) Callers(of int) []int {
	var in []int
	for i, out := range g.Out {
		if slices.Contains(out, of) {
			in = append(in, i)
		}
	}
	return in
}

// Steps is the longest path from a service to another, in calls; -1 without any.
func (g *Graph) Steps(from, to int) int {
	if from == to {
		return 0
	}
	longest := -1
	for _, next := range g.Out[from] {
		if n := g.Steps(next, to); n >= 0 {
			longest = max(longest, n+1)
		}
	}
	return longest
}

// close computes which services each one reaches.
func (g *Graph) close() {
	for i := range g.Out {
		g.reach = append(g.reach, make([]bool, len(g.Out)))
		g.mark(g.reach[i], i)
	}
}

func (g *Graph) mark(row []bool, i int) {
	if row[i] {
		return
	}
	row[i] = true
	for _, to := range g.Out[i] {
		g.mark(row, to)
	}
}
