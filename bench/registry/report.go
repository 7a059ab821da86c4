package registry

import (
	"fmt"
	"io"
	"time"

	"github.com/skerry/skerry/bench/chart"
)

// report prints the table of one load.
func report(w io.Writer, results []result) {
	l := results[0].load
	fmt.Fprintf(w, "\n%d instances in %d processes, %d consumers; at rest for %v, heartbeats every %v\n",
		l.instances, l.processes(), l.consumers, results[0].window.Round(time.Second), l.pace)
	t := newTable(w, "system", "server's CPU at rest, % of a core", "statements/s", "kB/s", "connections",
		"server, MiB", "start",
		"change: p50", "p99", "the writer's p50", "server's CPU for a change")
	for _, r := range results {
		statements := "–"
		if r.usage.statements >= 0 {
			statements = fmt.Sprintf("%.1f", float64(r.usage.statements)/r.window.Seconds())
		}
		p50, p99, writer := ms(quantile(r.took, 0.5)), ms(quantile(r.took, 0.99)), ms(quantile(r.writer, 0.5))
		if len(r.took) == 0 {
			p50, p99, writer = ms(l.pace/2), ms(l.pace*99/100)+" by design", "–"
		}
		t.row(r.system, fmt.Sprintf("%.2f", 100*r.cores()), statements,
			fmt.Sprintf("%.1f", float64(r.usage.bytes)/1000/r.window.Seconds()),
			fmt.Sprint(r.usage.connections), fmt.Sprint(r.usage.memory>>20),
			r.start.Round(100*time.Millisecond).String(), p50, p99, writer, ms(r.change))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// draw makes the picture of the server's cost against the number of instances.
func draw(path string, all []result) error {
	picture := chart.Lines{
		Title:  "What the registry's server costs at rest",
		Sub:    "processor time of the database or server; a process of ten instances each, all of them consumers",
		XLabel: "instances", YLabel: "% of one core", LogX: true, LogY: true, Goal: 8,
	}
	at := map[string]int{}
	for _, r := range all {
		i, known := at[r.system]
		if !known {
			i = len(picture.Curves)
			at[r.system] = i
			picture.Curves = append(picture.Curves, chart.Curve{Name: r.system})
		}
		c := &picture.Curves[i]
		c.Points = append(c.Points, chart.Point{X: float64(r.load.instances), Y: 100 * r.cores()})
	}
	return chart.Write(path, picture.SVG())
}
