package registry

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/skerry/skerry/bench/chart"
)

// report prints the table of one load.
func report(w io.Writer, results []result) {
	l := results[0].load
	fmt.Fprintf(w, "\n%d instances in %d processes, %d consumers; at rest for %v, heartbeats every %v\n",
		l.instances, l.processes(), l.consumers, results[0].window.Round(time.Second), l.pace)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "system\tserver CPU, % of a core\tstatements/s\tkB/s\tconnections\tserver MiB\tstart\tchange p50\tp99\twriter p50\tserver CPU/change\t")
	for _, r := range results {
		statements := "–"
		if r.usage.statements >= 0 {
			statements = fmt.Sprintf("%.1f", float64(r.usage.statements)/r.window.Seconds())
		}
		p50, p99, writer := ms(quantile(r.took, 0.5)), ms(quantile(r.took, 0.99)), ms(quantile(r.writer, 0.5))
		if len(r.took) == 0 {
			p50, p99, writer = ms(l.pace/2), ms(l.pace*99/100), "–" // by design
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%.1f\t%d\t%d\t%v\t%s\t%s\t%s\t%s\t\n", r.system, 100*r.cores(), statements,
			float64(r.usage.bytes)/1000/r.window.Seconds(), r.usage.connections, r.usage.memory>>20, r.start.Round(100*time.Millisecond),
			p50, p99, writer, ms(r.change))
	}
	_ = t.Flush() // to the terminal
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
