package callpath

import (
	"fmt"
	"io"
	"time"

	"github.com/skerry/skerry/bench/table"
)

// report prints one table for each load. The ratios are medians of the ratios
// taken within one round.
func report(w io.Writer, plan []load, all samples) {
	for _, l := range plan {
		mixed := ""
		if l.slow {
			mixed = fmt.Sprintf("; one call in %d takes %v, these are the others", slowEvery, slowTime)
		}
		fmt.Fprintf(w, "\n%s, %s%s\n\n", bytesText(l.size), callers(l.workers), mixed)
		t := table.Table{Head: []string{"peer", "calls/s", "p50", "p99", "CPU per call, client + server", "allocations",
			"skerry is … × faster", "p99 of skerry ÷ its", "its CPU ÷ skerry's"}}
		if l.slow {
			t.Head = append(t.Head, "its p99 ÷ without slow calls")
		}
		skerry := all[l.of("skerry")]
		for _, name := range l.peers {
			row := all[l.of(name)]
			t.Add(name, thousands(of(row, qps)), micros(of(row, p50)), micros(of(row, p99)),
				fmt.Sprintf("%.1f + %.1f µs", of(row, cpuClient)/1e3, of(row, cpuServer)/1e3),
				fmt.Sprintf("%.1f / %.1f", of(row, allocsClient), of(row, allocsServer)),
				text(ratio(skerry, row, qps)), text(ratio(skerry, row, p99)), text(ratio(row, skerry, cpu)),
				text(ratio(row, without(all, l.of(name)), p99)))
		}
		t.Write(w)
	}
}

const legend = `
A closed loop over loopback: so many callers, each with one call in flight, in one process; the server in another.
Medians of %d rounds, in each of which every peer was measured in turn. Ratios are taken within a round: above 1, skerry
is faster; its p99 is below the peer's where that ratio is below 1. CPU is the processor time of a call, user and
system, and allocations are those of a call, client / server.
`

// of is the load's row of a peer.
func (c cell) of(peer string) cell {
	c.peer = peer
	return c
}

// without are the samples of the same load without slow calls; none for a
// load that has none.
func without(all samples, c cell) []sample {
	if !c.slow {
		return nil
	}
	c.slow = false
	return all[c]
}

func text(r float64, ok bool) string {
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}

func micros(ns float64) string {
	d := time.Duration(ns)
	if d >= 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.0f µs", float64(d)/1e3)
}

// thousands writes a count as 12,345.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

func bytesText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
