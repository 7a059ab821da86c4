package deploy

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/skerry/skerry/bench/chart"
	"github.com/skerry/skerry/bench/table"
)

// median of one value of a task in a column; ok is false where no round has it.
func median(all []result, column, task string, value func(result) float64) (m float64, ok bool) {
	var values []float64
	for _, r := range all {
		if r.Column == column && r.Task == task {
			values = append(values, value(r))
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// whole is the person's time and the machine's, or what a paced run took.
func whole(r result) float64 {
	if r.Whole > 0 {
		return r.Whole
	}
	return r.Person + r.Machine
}

func report(w io.Writer, columns []column, all []result) {
	for i, t := range tasks {
		out := table.Table{Head: []string{t.name}}
		for _, c := range columns {
			out.Head = append(out.Head, c.title)
		}
		row := func(name, format string, value func(result) float64) {
			cells := []any{name}
			for _, c := range columns {
				if v, ok := median(all, c.name, t.name, value); ok {
					cells = append(cells, fmt.Sprintf(format, v))
				} else {
					cells = append(cells, "–")
				}
			}
			out.Add(cells...)
		}
		row("steps", "%.0f", func(r result) float64 { return float64(r.Steps) })
		row("visits to a host", "%.0f", func(r result) float64 { return float64(r.Visits) })
		row("values typed", "%.0f", func(r result) float64 { return float64(r.Values) })
		row("keys", "%.0f", func(r result) float64 { return float64(r.Keys) })
		if i == 0 {
			row("on the stick, MB", "%.0f", func(r result) float64 { return r.Stick })
			row("files on the stick", "%.0f", func(r result) float64 { return float64(r.Files) })
			row("processes beside the services", "%.0f", func(r result) float64 { return float64(r.Extra) })
			row("resident memory, MB", "%.0f", func(r result) float64 { return r.Resident })
		}
		row("person, s", "%.0f", func(r result) float64 { return r.Person })
		row("machine, s", "%.1f", func(r result) float64 { return r.Machine })
		row("of it after the last command, s", "%.1f", func(r result) float64 { return r.Wait })
		row("calls that failed", "%.0f", func(r result) float64 { return float64(r.Failed) })
		row("**whole, s**", "**%.0f**", whole)
		out.Write(w)
		fmt.Fprintln(w)
	}
}

func draw(path string, columns []column, all []result) error {
	b := chart.Bars{Title: "Deploying four services to four hosts",
		Sub: "seconds of a person (keystroke model) and of the machine together", YLabel: "seconds"}
	for _, c := range columns {
		b.Series = append(b.Series, c.title)
	}
	for _, t := range tasks {
		g := chart.Group{Name: t.name}
		for _, c := range columns {
			v, _ := median(all, c.name, t.name, whole)
			g.Values = append(g.Values, float64(int(v+0.5)))
		}
		b.Groups = append(b.Groups, g)
	}
	return chart.Write(path, b.SVG())
}

// print lists what a person does.
func (c column) print(w io.Writer) {
	for i, t := range tasks {
		work := &work{}
		c.works[i](work)
		cost := work.cost()
		fmt.Fprintf(w, "\n%s, %s: %d steps, %d visits, %d values, %d keys, %.0f s\n", c.title, t.name, cost.Steps,
			cost.Visits, cost.Values, cost.Keys, cost.Person)
		for _, s := range work.steps {
			what := s.command
			if s.walks {
				what = "(go there and sign in)"
			}
			for _, answer := range s.answers {
				what += " ⏎ " + answer
			}
			fmt.Fprintf(w, "  %5.1f s  %s  %s\n", float64(s.time())/float64(time.Second), hostNames[s.host], what)
		}
	}
}
