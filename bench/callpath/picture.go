package callpath

import (
	"math"
	"path/filepath"
	"slices"

	"github.com/skerry/skerry/bench/chart"
)

// shown are the peers in pictures, as many as colours tell apart.
var shown = []string{"skerry", "thrift-framed", "thrift-theader", "grpc", "grpc-md", "drpc", "net-rpc"}

// draw makes two pictures in a directory: calls per second, and the processor
// time of a call, with messages of up to a KiB. A scale for larger ones, too,
// would show only those.
func draw(dir string, plan []load, all samples) error {
	var measured []string
	for _, name := range shown {
		if slices.ContainsFunc(plan, func(l load) bool { return len(all[l.of(name)]) > 0 }) {
			measured = append(measured, name)
		}
	}
	calls := chart.Bars{Title: "Calls per second",
		Sub:    "closed loop over loopback, client and server processes share the machine; more is better",
		YLabel: "calls/s", Series: measured}
	cost := chart.Bars{Title: "Processor time of one call", Sub: "client and server together; less is better",
		YLabel: "µs", Series: measured}
	for _, l := range plan {
		if l.slow || l.size > 1<<10 {
			continue
		}
		group := chart.Group{Name: callers(l.workers) + ", " + bytesText(l.size)}
		c, p := group, group
		for _, name := range measured {
			row := all[l.of(name)]
			c.Values = append(c.Values, math.Round(of(row, qps)))
			p.Values = append(p.Values, math.Round(of(row, cpu)/1e2)/10)
		}
		calls.Groups, cost.Groups = append(calls.Groups, c), append(cost.Groups, p)
	}
	if err := chart.Write(filepath.Join(dir, "calls.svg"), calls.SVG()); err != nil {
		return err
	}
	return chart.Write(filepath.Join(dir, "cpu.svg"), cost.SVG())
}
