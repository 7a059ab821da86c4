package callpath

import (
	"fmt"
	"io"

	"github.com/skerry/skerry/bench/table"
)

const hopLegend = `
Closed loops over loopback with messages of %s: so many callers, each with one call in flight, in one process, the
server in another and what is between them in a third. Medians of %d rounds, in each of which every way was measured in
turn; ratios are medians of those within a round. CPU is the processor time of a call.
`

var sceneText = map[string]string{
	"out": "A stock client calls a Go service: directly over TCP, or over a Unix socket through a hop",
	"in":  "A stock server is called: directly, through a forwarder, or by a Go process through its proxy",
}

func reportHop(w io.Writer, all hopSamples, counts []int, size, rounds int) {
	fmt.Fprintf(w, hopLegend, bytesText(size), rounds)
	for _, scene := range []string{"out", "in"} {
		fmt.Fprintf(w, "\n%s:\n\n", sceneText[scene])
		t := table.Table{Head: []string{"callers, way", "calls/s", "p50", "p99", "CPU, µs: client + hop + server",
			"calls/s ÷ direct", "p50 ÷ forwarder", "CPU of the hop ÷ forwarder's"}}
		for _, n := range counts {
			rows := map[string][]sample{}
			for c, row := range all {
				if c.scene == scene && c.workers == n {
					rows[c.hop] = row
				}
			}
			for _, hop := range []string{"direct", "forwarder", "proxy"} {
				row := rows[hop]
				t.Add(fmt.Sprintf("%s, %s", callers(n), hop), thousands(of(row, qps)), micros(of(row, p50)),
					micros(of(row, p99)), fmt.Sprintf("%.1f + %.1f + %.1f", of(row, cpuClient)/1e3, of(row, cpuHop)/1e3,
						of(row, cpuServer)/1e3),
					text(ratio(row, rows["direct"], qps)), text(ratio(row, rows["forwarder"], p50)),
					hopCPU(hop, row, rows["forwarder"]))
			}
		}
		t.Write(w)
	}
	reportHopGoals(w, all)
}

// hopCPU is the hop's processor time as a share of the forwarder's; empty without a hop.
func hopCPU(hop string, row, floor []sample) string {
	if hop == "direct" {
		return ""
	}
	return text(ratio(row, floor, cpuHop))
}

// hopGoal is a bound of the design.
type hopGoal struct {
	about   string
	workers int
	against string
	of      func(sample) float64
	atLeast bool
	bound   float64
}

func hopGoals() []hopGoal {
	return []hopGoal{
		{"p50 of the proxy ÷ the forwarder's", 1, "forwarder", p50, false, 1.5},
		{"calls/s of the proxy ÷ the direct call's", 32, "direct", qps, true, 0.9},
		{"calls/s of the proxy ÷ the direct call's", 128, "direct", qps, true, 0.9},
		{"CPU of the proxy ÷ the forwarder's", 32, "forwarder", cpuHop, false, 1.2},
		{"CPU of the proxy ÷ the forwarder's", 128, "forwarder", cpuHop, false, 1.2},
	}
}

// reportHopGoals prints the goals of outgoing calls that were measured.
func reportHopGoals(w io.Writer, all hopSamples) {
	fmt.Fprintln(w)
	t := table.Table{Head: []string{"a stock client through the proxy", "goal", "measured", ""}}
	rows := func(hop string, n int) []sample {
		for c, row := range all {
			if c.scene == "out" && c.hop == hop && c.workers == n {
				return row
			}
		}
		return nil
	}
	for _, g := range hopGoals() {
		v, ok := ratio(rows("proxy", g.workers), rows(g.against, g.workers), g.of)
		if !ok {
			continue
		}
		sign, met := "≤", v <= g.bound
		if g.atLeast {
			sign, met = "≥", v >= g.bound
		}
		verdict := "met"
		if !met {
			verdict = "**missed**"
		}
		t.Add(fmt.Sprintf("%s: %s", callers(g.workers), g.about), fmt.Sprintf("%s %.1f", sign, g.bound),
			fmt.Sprintf("%.2f", v), verdict)
	}
	t.Write(w)
}
