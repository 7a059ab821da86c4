package callpath

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/skerry/skerry/bench/chart"
)

// draw makes two pictures in a directory: calls per second, and the processor
// time of a call, of every peer under every load without slow calls.
func draw(dir string, loads []cell, names []string, all map[cell][]sample) error {
	calls := chart.Bars{Title: "Calls per second", Sub: "closed loop over loopback, both processes on two cores; medians",
		YLabel: "calls/s", LogY: true, Series: names}
	cost := chart.Bars{Title: "Processor time of one call", Sub: "client and server together; medians",
		YLabel: "µs", LogY: true, Series: names}
	for _, load := range loads {
		if load.slow {
			continue
		}
		group := chart.Group{Name: fmt.Sprintf("%d × %s", load.workers, volume(load.size))}
		c, p := group, group
		for _, name := range names {
			row := all[load.of(name)]
			c.Values = append(c.Values, median(row, func(s sample) float64 { return s.QPS }))
			p.Values = append(p.Values, median(row, func(s sample) float64 { return float64(s.CPU()) / float64(time.Microsecond) }))
		}
		calls.Groups, cost.Groups = append(calls.Groups, c), append(cost.Groups, p)
	}
	if err := chart.Write(filepath.Join(dir, "calls.svg"), calls.SVG()); err != nil {
		return err
	}
	return chart.Write(filepath.Join(dir, "cpu.svg"), cost.SVG())
}

// volume is a size for people.
func volume(bytes int) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}
