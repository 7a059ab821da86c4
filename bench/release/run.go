package release

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout"
)

// contender is a strategy in the table.
type contender struct {
	name string
	make func(*site) strategy
}

// theirs is the index of the contender that the table divides the other times by.
const theirs = 3

var contenders = []contender{
	{"rolling update", func(s *site) strategy { return rolling{plain{s}} }},
	{"lazy header pins", func(s *site) strategy { return &pins{plain: plain{s}, told: map[*process]bool{}} }},
	{"quiescence", func(s *site) strategy { return &quiescence{plain: plain{s}, told: map[*process]bool{}} }},
	{"future/past edges", func(s *site) strategy { return &edges{plain: plain{s}} }},
	{"skerry concurrent", func(s *site) strategy { return newTokens(s, rollout.Concurrent) }},
	{"skerry blocking", func(s *site) strategy { return newTokens(s, rollout.Blocking) }},
	{"skerry waiting", func(s *site) strategy { return newTokens(s, rollout.Waiting) }},
}

// tables are the conditions under which all are compared.
var tables = []conditions{
	{"calls one after the other, one instance of each service, all messages arrive", sim.FSE, 1, 0},
	{"siblings, one-way calls, lost replies, two replicas, a quarter of the processes hear late", sim.Site, 2, 0.25},
}

// play runs one world by one strategy.
func play(w *world, c contender) *site {
	s := newSite(w, nil)
	s.strategy = c.make(s)
	s.run()
	if h, ok := s.strategy.(*tokens); ok {
		s.broken = h.history().Check()
	}
	return s
}

// Run prints the tables.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	seeds := flags.Int("seeds", 100, "sites for each table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, c := range tables {
		rows, err := compare(ctx, c, *seeds)
		if err != nil {
			return err
		}
		if err := report(os.Stdout, c, rows); err != nil {
			return err
		}
	}
	return nil
}

// compare plays every strategy on the same worlds.
func compare(ctx context.Context, c conditions, seeds int) ([]score, error) {
	rows := make([]score, len(contenders))
	for seed := range seeds {
		w := newWorld(uint64(seed), c)
		calm := play(w, contender{make: func(s *site) strategy { return plain{s} }})
		for i, contender := range contenders {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			run := play(w, contender)
			if run.gone == 0 || run.open > 0 {
				return nil, fmt.Errorf("%s on site %d: %d requests, or the release itself, never ended", contender.name,
					seed, run.open)
			}
			rows[i].add(run, calm)
		}
	}
	return rows, nil
}

func report(w io.Writer, c conditions, rows []score) error {
	fmt.Fprintf(w, "\n%s\n", c.name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t,
		"strategy\trequests\tG1 broken\tG2 broken\tfailed\told gone, median\tp95\t÷ edges\tadded latency, "+
			"mean\tworst\tchecker's findings\t")
	for i, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%.0f\t%.0f\t%.2f\t%.1f\t%.0f\t%d\t\n", contenders[i].name, r.requests,
			share(r.g1, r.requests), share(r.g2, r.requests), share(r.failed, r.requests),
			sim.Quantile(r.gone, 0.5), sim.Quantile(r.gone, 0.95), ratio(r.gone, rows[theirs].gone),
			sim.Mean(r.added), sim.Quantile(r.added, 1), r.findings)
	}
	return t.Flush()
}

// share is a part of the requests; 0 is exactly none.
func share(n, of int) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(of))
}

// ratio is the median of the ratios, site by site.
func ratio(a, b []float64) float64 {
	var all []float64
	for i := range a {
		if b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return sim.Quantile(all, 0.5)
}

func units(d time.Duration) float64 { return float64(d) / float64(sim.Unit) }
