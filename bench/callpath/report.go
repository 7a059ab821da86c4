package callpath

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report prints one table for each load. The ratios are medians of the ratios
// taken within one round.
func report(w io.Writer, loads []cell, names []string, all map[cell][]sample) {
	for _, load := range loads {
		mixed := ""
		if load.slow {
			mixed = fmt.Sprintf(", one call in %d takes %v; the others:", slowEvery, slowTime)
		}
		fmt.Fprintf(w, "\n%d bytes, %d callers%s\n", load.size, load.workers, mixed)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "peer\tcalls/s\tp50\tp99\tCPU/call client\tserver\tallocs client\tserver\tskerry is … × faster\tp99 of skerry ÷ its\tits CPU ÷ skerry's\tp99 ÷ without slow calls\t")
		ours := all[load.of("skerry")]
		for _, name := range names {
			row := all[load.of(name)]
			med := func(f func(sample) float64) float64 { return median(row, f) }
			fmt.Fprintf(t, "%s\t%.0f\t%v\t%v\t%v\t%v\t%.1f\t%.1f\t%s\t%s\t%s\t%s\t\n", name,
				med(func(s sample) float64 { return s.QPS }),
				duration(med(func(s sample) float64 { return float64(s.P50) })),
				duration(med(func(s sample) float64 { return float64(s.P99) })),
				duration(med(func(s sample) float64 { return float64(s.CPUClient) })),
				duration(med(func(s sample) float64 { return float64(s.CPUServer) })),
				med(func(s sample) float64 { return s.AllocsClient }),
				med(func(s sample) float64 { return s.AllocsServer }),
				ratio(ours, row, func(s sample) float64 { return s.QPS }),
				ratio(ours, row, func(s sample) float64 { return float64(s.P99) }),
				ratio(row, ours, func(s sample) float64 { return float64(s.CPU()) }),
				ratio(row, without(all, load.of(name)), func(s sample) float64 { return float64(s.P99) }))
		}
		t.Flush()
	}
}

// of is the load's row of a peer.
func (c cell) of(peer string) cell {
	c.peer = peer
	return c
}

// without are the samples of the same load without slow calls; none for a
// load that has none.
func without(all map[cell][]sample, c cell) []sample {
	if !c.slow {
		return nil
	}
	c.slow = false
	return all[c]
}

func duration(ns float64) time.Duration { return time.Duration(ns).Round(100 * time.Nanosecond) }

func median(row []sample, f func(sample) float64) float64 {
	values := make([]float64, len(row))
	for i, s := range row {
		values[i] = f(s)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return values[len(values)/2]
}

// ratio is the median of a/b, round by round; empty without a pair.
func ratio(a, b []sample, f func(sample) float64) string {
	if len(a) == 0 || len(a) != len(b) {
		return ""
	}
	values := make([]float64, len(a))
	for i := range a {
		values[i] = f(a[i]) / f(b[i])
	}
	slices.Sort(values)
	return fmt.Sprintf("%.2f", values[len(values)/2])
}
