package fse

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/skerry/skerry/bench/sim"
)

// approach is one column pair of the table.
type approach struct {
	name       string
	update     func(*site) result
	timeliness map[int]float64 // as published, by number of components
	disruption map[int]float64
}

var approaches = []approach{
	{"quiescence", (*site).quiescence,
		map[int]float64{4: 313, 8: 610, 16: 1008, 32: 1589}, map[int]float64{4: 3337, 8: 18515, 16: 70103, 32: 226961}},
	{"version consistency, blocking", func(s *site) result { return setUp(s).blocking() },
		map[int]float64{4: 243, 8: 520, 16: 783, 32: 1252}, map[int]float64{4: 1650, 8: 10858, 16: 35157, 32: 113789}},
	{"version consistency, concurrent", func(s *site) result { return setUp(s).concurrent() },
		map[int]float64{4: 243, 8: 520, 16: 783, 32: 1252}, map[int]float64{4: 102, 8: 411, 16: 1009, 32: 1865}},
	{"skerry, concurrent, its handlers tell", (*site).told, nil, nil},
	{"skerry, concurrent", (*site).tokens, nil, nil},
}

// sizes are the numbers of components of the published table.
var sizes = []int{4, 8, 16, 32}

// Run prints the table.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fse", flag.ContinueOnError)
	seeds := flags.Int("seeds", 400, "configurations of each size; the paper has 100")
	if err := flags.Parse(args); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "components\tapproach\ttimeliness\tpublished\t÷\tdisruption\tpublished\t÷\t÷ version consistency\t")
	for _, size := range sizes {
		rows, err := measure(ctx, size, *seeds)
		if err != nil {
			return err
		}
		for i, a := range approaches {
			fmt.Fprintf(t, "%d\t%s\t", size, a.name)
			cell(t, rows[i].timeliness, a.timeliness[size])
			cell(t, rows[i].disruption, a.disruption[size])
			fmt.Fprintf(t, "%.2f\t\n", rows[i].timeliness/rows[2].timeliness)
		}
	}
	return t.Flush()
}

// cell prints a figure beside the published one.
func cell(w io.Writer, ours, published float64) {
	if published == 0 {
		fmt.Fprintf(w, "%.0f\t\t\t", ours)
		return
	}
	fmt.Fprintf(w, "%.0f\t%.0f\t%.2f\t", ours, published, ours/published)
}

// means are those of one approach over all configurations, in units.
type means struct{ timeliness, disruption float64 }

// measure plays every approach on the same configurations.
func measure(ctx context.Context, size, seeds int) ([]means, error) {
	sums := make([]means, len(approaches))
	for seed := range seeds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := newSite(uint64(seed), size)
		for i, a := range approaches {
			r := a.update(s)
			sums[i].timeliness += units(r.timeliness) / float64(seeds)
			sums[i].disruption += units(r.disruption) / float64(seeds)
		}
	}
	return sums, nil
}

func units(d time.Duration) float64 { return float64(d) / float64(sim.Unit) }
