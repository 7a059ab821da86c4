package callpath

import (
	"fmt"
	"io"

	"github.com/skerry/skerry/bench/table"
)

// goal is what one measured ratio is to be.
type goal struct {
	what     string
	load     cell
	measured func(samples, cell) (float64, bool) // false: it was not measured
	least    float64                             // 0: most counts instead
	most     float64
}

// samples are all that was measured, in the order of the rounds.
type samples map[cell][]sample

// against compares skerry with a peer under the same load.
func against(peer string, f func(sample) float64) func(samples, cell) (float64, bool) {
	return func(all samples, load cell) (float64, bool) {
		return ratio(all[load.of("skerry")], all[load.of(peer)], f)
	}
}

// times is against, divided by what another peer is known to be of the first:
// for peers that can't be had where this runs.
func times(peer string, known float64) func(samples, cell) (float64, bool) {
	return func(all samples, load cell) (float64, bool) {
		r, ok := against(peer, qps)(all, load)
		return r / known, ok
	}
}

// flipped is one over it: how much less skerry takes.
func flipped(f func(samples, cell) (float64, bool)) func(samples, cell) (float64, bool) {
	return func(all samples, load cell) (float64, bool) {
		r, ok := f(all, load)
		return 1 / r, ok && r > 0
	}
}

// ours is the median of skerry's own.
func ours(f func(sample) float64) func(samples, cell) (float64, bool) {
	return func(all samples, load cell) (float64, bool) {
		row := all[load.of("skerry")]
		return of(row, f), len(row) > 0
	}
}

// secured compares the peers that speak TLS.
func secured(all samples, load cell) (float64, bool) {
	return ratio(all[load.of("skerry-tls")], all[load.of("grpc-tls")], qps)
}

// slowed is the p99 of the calls beside slow ones, over that without those.
func slowed(all samples, load cell) (float64, bool) {
	return ratio(all[load.of("skerry")], without(all, load.of("skerry")), p99)
}

// What the known figures of Kitex are of bare gRPC's: its own messages, and
// with metadata.
const (
	kitex         = 2.6
	kitexMetadata = 1.5
)

func goals() []goal {
	one, sixteen, many := cell{workers: 1, size: 1024}, cell{workers: 16, size: 1024}, cell{workers: 128, size: 1024}
	small := cell{workers: 128, size: 100}
	return []goal{
		{"128 callers, 1 KiB: calls/s, of gRPC with metadata", many, against("grpc-md", qps), 8, 0},
		{"… p99, of the same", many, against("grpc-md", p99), 0, 0.25},
		{"… calls/s, of Apache THeader with metadata", many, against("thrift-theader", qps), 7, 0},
		{"… calls/s, of Apache framed as it comes", many, against("thrift-framed", qps), 4.5, 0},
		{"128 callers, 100 B: calls/s, of gRPC with metadata", small, against("grpc-md", qps), 10, 0},
		{"16 callers, 1 KiB: calls/s, of gRPC with metadata", sixteen, against("grpc-md", qps), 6, 0},
		{"1 caller, 1 KiB: calls/s, of tuned Apache", one, against("thrift-tuned", qps), 1, 0},
		{"… calls/s, of gRPC", one, against("grpc", qps), 4, 0},
		{"128 callers, 1 KiB: CPU per call of gRPC with metadata, of skerry's", many,
			flipped(against("grpc-md", cpu)), 8, 0},
		{"… calls/s, of skerry's bare transport", many, against("skerry-bare", qps), 0.8, 0},
		{"… allocations per call, client", many, ours(allocsClient), 0, 11},
		{"… allocations per call, server", many, ours(allocsServer), 0, 9},
		{"… one slow call in 100: p99 of the others, of p99 without", cell{workers: 128, size: 1024, slow: true},
			slowed, 0, 1.5},
		{"64 KiB, 16 callers: calls/s, of Apache framed", cell{workers: 16, size: 64 << 10},
			against("thrift-framed", qps), 1, 0},
		{"1 MiB, 4 callers: calls/s, of Apache framed", cell{workers: 4, size: 1 << 20},
			against("thrift-framed", qps), 1, 0},
		{"TLS, 128 callers, 1 KiB: calls/s, of gRPC with TLS", many, secured, 3, 0},
		{"128 callers, 1 KiB: calls/s, of Kitex, known as 2.6 × bare gRPC", many, times("grpc", kitex), 3, 0},
		{"… calls/s, of Kitex with metadata, known as 1.5 × bare gRPC", many, times("grpc", kitexMetadata), 5, 0},
	}
}

// met reports whether a figure reaches the goal.
func (g goal) met(v float64) bool {
	if g.least > 0 {
		return v >= g.least
	}
	return v <= g.most
}

// reportGoals prints those that were measured.
func reportGoals(w io.Writer, all samples) {
	t := table.Table{Head: []string{"", "goal", "measured", ""}}
	for _, g := range goals() {
		v, ok := g.measured(all, g.load)
		if !ok {
			continue
		}
		bound, verdict := fmt.Sprintf("≥ %g", g.least), "met"
		if g.least == 0 {
			bound = fmt.Sprintf("≤ %g", g.most)
		}
		if !g.met(v) {
			verdict = "**missed**"
		}
		t.Add(g.what, bound, fmt.Sprintf("%.2f", v), verdict)
	}
	fmt.Fprint(w, "\nGoals, for skerry with everything on\n\n")
	t.Write(w)
}
