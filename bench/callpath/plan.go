package callpath

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cell is one row of a table: a peer under one load.
type cell struct {
	peer    string
	workers int
	size    int
	slow    bool // one call in a hundred takes slowTime, and is not counted
}

// load is a table: what is measured, and with which peers.
type load struct {
	cell
	peers []string
}

// The peers of a long run's special loads.
var (
	largePeers = []string{"skerry", "thrift-framed", "grpc"}
	slowPeers  = []string{"skerry", "thrift-framed", "grpc-md", "drpc"}
)

// shortPlan takes two minutes on a machine at rest.
func shortPlan() []load {
	return []load{
		{cell{workers: 1, size: 1024}, clearPeers()},
		{cell{workers: 128, size: 1024}, allPeers()},
	}
}

// longPlan is everything that docs/benchmarks.md shows of the call path. One
// round takes two and a half minutes on a machine at rest.
func longPlan() []load {
	var plan []load
	for _, size := range []int{100, 1024} {
		for _, workers := range []int{1, 16, 128} {
			l := load{cell{workers: workers, size: size}, clearPeers()}
			if workers == 128 && size == 1024 {
				l.peers = allPeers()
			}
			plan = append(plan, l)
		}
	}
	return append(plan,
		load{cell{workers: 128, size: 1024, slow: true}, slowPeers},
		load{cell{workers: 16, size: 64 << 10}, largePeers},
		load{cell{workers: 4, size: 1 << 20}, largePeers})
}

// namedPlan reads loads as they are given by hand.
func namedPlan(text string) ([]load, error) {
	var plan []load
	for _, one := range strings.Split(text, ",") {
		numbers, slow := strings.CutSuffix(one, "+slow")
		var c cell
		var rest string
		if n, _ := fmt.Sscanf(numbers+" ", "%dx%d%s", &c.workers, &c.size, &rest); n != 2 || c.workers < 1 ||
			c.size < 1 {
			return nil,
				fmt.Errorf("-load %q: want callers and bytes, as 128x1024, with +slow behind it to mix slow calls in",
					one)
		}
		plan = append(plan, load{c, allPeers()})
		if slow { // beside the same without
			c.slow = true
			plan = append(plan, load{c, allPeers()})
		}
	}
	return plan, nil
}

// only has the loads of a plan measured with the named peers instead of its
// own; no names leave it as it is.
func only(plan []load, names string) ([]load, error) {
	if names == "" {
		return plan, nil
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if _, err := peerNamed(name); err != nil {
			return nil, err
		}
	}
	out := make([]load, len(plan))
	for i, l := range plan {
		out[i] = load{l.cell, wanted}
	}
	return out, nil
}

func allPeers() (names []string) {
	for _, p := range peers() {
		names = append(names, p.name)
	}
	return names
}

// clearPeers are all without TLS.
func clearPeers() []string {
	return slices.DeleteFunc(allPeers(), func(name string) bool { return strings.HasSuffix(name, "-tls") })
}

// pacer says when there have been rounds enough: so many, or as many as fit
// into a time, at least one.
type pacer struct {
	rounds  int
	budget  time.Duration // 0: rounds alone count
	done    int
	longest time.Duration
}

// more reports whether there is to be another round, so long after the start.
func (p *pacer) more(since time.Duration) bool {
	switch {
	case p.done == 0:
		return true
	case p.rounds > 0 && p.done >= p.rounds:
		return false
	}
	return p.budget == 0 || since+p.longest <= p.budget
}

// round notes that a round has taken so long.
func (p *pacer) round(took time.Duration) {
	p.done++
	p.longest = max(p.longest, took)
}
