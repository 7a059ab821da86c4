package callpath

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/skerry/skerry/bench/chart"
)

// draw makes two pictures in a directory: calls per second, and the processor
// time of a call, of every peer with messages of up to a KiB.
func draw(dir string, loads []cell, names []string, all map[cell][]sample) error {
	calls := chart.Bars{Title: "Calls per second", Sub: "closed loop over loopback, both processes on two cores; medians",
		YLabel: "calls/s", Series: names}
	cost := chart.Bars{Title: "Processor time of one call", Sub: "client and server together; medians",
		YLabel: "µs", Series: names}
	for _, load := range loads {
		if load.slow || load.size > 1<<10 { // a scale for all would show only one of them
			continue
		}
		group := chart.Group{Name: fmt.Sprintf("%d callers, %d B", load.workers, load.size)}
		c, p := group, group
		for _, name := range names {
			row := all[load.of(name)]
			c.Values = append(c.Values, math.Round(median(row, func(s sample) float64 { return s.QPS })))
			p.Values = append(p.Values, math.Round(median(row, func(s sample) float64 { return float64(s.CPU()) / float64(time.Microsecond) })))
		}
		calls.Groups, cost.Groups = append(calls.Groups, c), append(cost.Groups, p)
	}
	if err := chart.Write(filepath.Join(dir, "calls.svg"), calls.SVG()); err != nil {
		return err
	}
	return chart.Write(filepath.Join(dir, "cpu.svg"), cost.SVG())
}
