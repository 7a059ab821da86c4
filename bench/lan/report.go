package lan

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/skerry/skerry/bench/chart"
	"github.com/skerry/skerry/bench/sim"
)

// goal is what skerry is measured by: at most an absolute value, by loss, or so
// many times less than a value of memberlist.
type goal struct {
	what string
	most map[float64]float64
	vs   string // a measure of memberlist; the ratio is to its median
	than float64
}

var goals = []goal{
	{what: coldStart, most: map[float64]float64{0: 1, 10: 3}, vs: coldStart},
	{what: coldPackets, most: map[float64]float64{0: 2000, 10: 2000}, vs: coldPackets},
	{what: coldUDP, vs: coldUDP}, {what: coldTCP, vs: coldTCP},
	{what: killAvoided, vs: killOff, than: 8}, {what: killCalls}, {what: killOff, vs: killOff},
	{what: cutAvoided, vs: cutOff, than: 2.5}, {what: cutCalls}, {what: cutOff, vs: cutOff},
	{what: restSent, most: map[float64]float64{0: 0.02, 10: 0.02}, vs: restSent},
	{what: restUDP, vs: restUDP}, {what: restTCP, vs: restTCP}, {what: restARP, vs: restARP}, {what: restND, vs: restND},
	{what: restBytes, vs: restBytes}, {what: restReceived, vs: restReceived},
	{what: switchUDP, vs: switchUDP}, {what: switchAll, vs: switchAll},
	{what: switchKnown, vs: switchKnown}, {what: idleSent, vs: idleSent},
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

// report prints a table for each loss: medians, and the worst in brackets.
func report(w io.Writer, hosts int, losses []float64, all []sample) {
	for _, loss := range losses {
		fmt.Fprintf(w, "\n%d hosts, %v %% loss: medians (worst)\n", hosts, loss)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "\tskerry\tmemberlist\ttimes less\tgoal")
		for _, g := range goals {
			ours, theirs := values(all, "skerry", loss, g.what), values(all, "memberlist", loss, g.vs)
			if len(ours)+len(theirs) == 0 {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", g.what, text(ours), text(theirs), ratio(ours, theirs), g.text(loss))
		}
		_ = t.Flush() // to the terminal
	}
}

func (g goal) text(loss float64) string {
	if most, ok := g.most[loss]; ok {
		return fmt.Sprintf("≤ %v", most)
	}
	if g.than > 0 {
		return fmt.Sprintf("≥ %v times less", g.than)
	}
	return ""
}

func text(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s)", short(sim.Quantile(slices.Clone(v), 0.5)), short(slices.Max(v)))
}

func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

func ratio(ours, theirs []float64) string {
	if len(ours) == 0 || len(theirs) == 0 {
		return "–"
	}
	a, b := sim.Quantile(slices.Clone(ours), 0.5), sim.Quantile(slices.Clone(theirs), 0.5)
	if a <= 0 {
		return "–"
	}
	return short(b / a)
}

// draw makes the picture of times.
func draw(path string, hosts int, losses []float64, all []sample) error {
	p := chart.Bars{
		Title:  fmt.Sprintf("A LAN of %d hosts", hosts),
		Sub:    "medians; callers of skerry leave a host long before it is off the last list",
		YLabel: "seconds", LogY: true,
		Series: []string{"skerry: last call begun", "skerry: all lists", "memberlist: all lists"},
	}
	for _, scene := range []struct{ name, avoided, lists string }{
		{"cold start", "", coldStart}, {"kill -9", killAvoided, killOff}, {"cable pulled", cutAvoided, cutOff},
	} {
		for _, loss := range losses {
			g := chart.Group{Name: fmt.Sprintf("%s, %v %%", scene.name, loss), Values: make([]float64, 3)}
			for i, v := range [][]float64{values(all, "skerry", loss, scene.avoided), values(all, "skerry", loss, scene.lists), values(all, "memberlist", loss, scene.lists)} {
				if len(v) > 0 {
					g.Values[i] = sim.Quantile(slices.Clone(v), 0.5)
				}
			}
			p.Groups = append(p.Groups, g)
		}
	}
	return chart.Write(path, p.SVG())
}
