package lan

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/skerry/skerry/bench/chart"
	"github.com/skerry/skerry/bench/sim"
)

// measures are the lines of the table.
var measures = []string{
	coldStart, coldPackets, coldUDP, coldTCP, coldARP, coldND,
	killAvoided, killCalls, killOff, cutAvoided, cutCalls, cutOff,
	restUDP, restSent, restTCP, restARP, restND, restBytes, restReceived,
	switchUDP, switchAll, switchKnown, idleSent,
}

// goal is what skerry is measured by: at most an absolute value, or so many
// times less than a measure of memberlist.
type goal struct {
	name string
	what string
	most func(loss float64) float64
	vs   string
	than float64
}

var goals = []goal{
	{name: "power returns: all know all ≤ 1 s, ≤ 3 s with loss", what: coldStart, most: func(loss float64) float64 {
		if loss > 0 {
			return 3
		}
		return 1
	}},
	{name: "… packets of the busiest host ≤ 2,000", what: coldPackets, most: func(float64) float64 { return 2000 }},
	{name: "kill -9: avoided ≥ 8 × sooner than memberlist knows", what: killAvoided, vs: killOff, than: 8},
	{name: "kill -9: off the last list, likewise", what: killOff, vs: killOff, than: 8},
	{name: "cable pulled: avoided ≥ 2.5 × sooner than memberlist knows", what: cutAvoided, vs: cutOff, than: 2.5},
	{name: "cable pulled: off the last list, likewise", what: cutOff, vs: cutOff, than: 2.5},
	{name: "at rest: ≤ 0.02 packets/s sent per host, UDP", what: restUDP, most: func(float64) float64 { return 0.02 }},
}

// judge says how a goal fares: the median, or how many times less it is.
func (g goal) judge(loss float64, ours, theirs []float64) string {
	verdict := func(met bool) string {
		if met {
			return "met"
		}
		return "**missed**"
	}
	switch {
	case len(ours) == 0, g.most == nil && len(theirs) == 0:
		return "–"
	case g.most != nil:
		v := median(ours)
		return fmt.Sprintf("%s, %s", short(v), verdict(v <= g.most(loss)))
	}
	a, b := median(ours), median(theirs)
	if a <= 0 {
		return fmt.Sprintf("at once (%s s), met", short(b))
	}
	return fmt.Sprintf("%s × (%s against %s s), %s", short(b/a), short(a), short(b), verdict(b/a >= g.than))
}

// values are the samples of one thing.
func values(all []sample, system string, loss float64, what string) (out []float64) {
	for _, s := range all {
		if s.System == system && s.Loss == loss && s.What == what {
			out = append(out, s.Value)
		}
	}
	return out
}

// report prints two tables in Markdown: the goals, and everything that was
// measured, medians with the worst in brackets.
func report(w io.Writer, hosts int, losses []float64, all []sample) {
	fmt.Fprintf(w, "| goal, %d hosts |", hosts)
	for _, loss := range losses {
		fmt.Fprintf(w, " %v %% loss |", loss)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(losses)))
	for _, g := range goals {
		fmt.Fprintf(w, "| %s |", g.name)
		for _, loss := range losses {
			fmt.Fprintf(w, " %s |", g.judge(loss, values(all, "skerry", loss, g.what),
				values(all, "memberlist", loss, g.vs)))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n| %d hosts: median (worst) |", hosts)
	for _, loss := range losses {
		fmt.Fprintf(w, " skerry, %v %% | memberlist, %v %% |", loss, loss)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|---|", len(losses)))
	for _, what := range measures {
		row, any := "", false
		for _, loss := range losses {
			ours, theirs := values(all, "skerry", loss, what), values(all, "memberlist", loss, what)
			row += fmt.Sprintf(" %s | %s |", text(ours), text(theirs))
			any = any || len(ours)+len(theirs) > 0
		}
		if any {
			fmt.Fprintf(w, "| %s |%s\n", what, row)
		}
	}
}

func median(v []float64) float64 { return sim.Quantile(v, 0.5) }

func text(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s)", short(median(v)), short(slices.Max(v)))
}

// short is a value with two digits that count, and thousands apart.
func short(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%d,%03d", int(v+0.5)/1000, int(v+0.5)%1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// draw makes the picture of times.
func draw(path string, hosts int, losses []float64, all []sample) error {
	p := chart.Bars{
		Title:  fmt.Sprintf("A LAN of %d hosts: how soon all lists are right", hosts),
		Sub:    "medians, with the share of packets that was lost",
		YLabel: "seconds",
		Series: []string{"skerry", "memberlist"},
	}
	for _, scene := range []struct{ name, what string }{{"cold start", coldStart}, {"kill -9", killOff},
		{"cable pulled", cutOff}} {
		for _, loss := range losses {
			g := chart.Group{Name: fmt.Sprintf("%s, %v %%", scene.name, loss)}
			for _, system := range p.Series {
				g.Values = append(g.Values, median(values(all, system, loss, scene.what)))
			}
			p.Groups = append(p.Groups, g)
		}
	}
	return chart.Write(path, p.SVG())
}
