package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/cmd/skerry/internal/rate"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/run"
	"github.com/spf13/cobra"
)

// topQuery is the command line of `skerry top`.
type topQuery struct {
	service string
	every   time.Duration
	count   int // number of looks; 0: until the command is stopped
}

func (a *app) topCommand() *cobra.Command {
	var q topQuery
	c := &cobra.Command{
		Use:   "top [SERVICE]",
		Short: "Show the calls of each service as they happen",
		Long: `Asks every process of the site what it has counted, and shows for each version of
a service the calls per second, those that failed, and the time that 99 of 100
calls stayed within, since the look before. On a terminal each look replaces the
one before; elsewhere they follow each other. Ends with ctrl-C, or after --count
looks.

It needs no database and no statistics files. What callers and providers count
of a version is not added up: the side that counted more calls is shown. P99 is
one of 1, 2, 5, 10, 20, 50, 100, 200, 500 ms, 1 s, 3 s and 10 s. What happened
before is shown by skerry stats.

Exit code 3 when no process of the site answers.`,
		Example: "  skerry top\n  skerry top auth --every 5s\n  skerry top --count 1 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.service = first(args)
			if q.every < 100*time.Millisecond {
				return usagef("--every %v: want 100ms or more", q.every)
			}
			if q.count < 0 {
				return usagef("--count %d: want the number of looks, or 0 for no end", q.count)
			}
			return a.top(cmd.Context(), q)
		},
		ValidArgsFunction: a.completeService,
	}
	c.Flags().DurationVar(&q.every, "every", 2*time.Second, "time between two looks")
	spell(c, "every", q.every)
	c.Flags().IntVarP(&q.count, "count", "n", 0, "end after so many `LOOKS`; 0: with ctrl-C")
	return c
}

func (a *app) top(ctx context.Context, q topQuery) error {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	a.look(ctx, n, "")
	var m rate.Meter
	for looks := -1; ; looks++ {
		counts, silent, err := control.AllCounts(ctx, n, rate.Limits...)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return unreachablef("find the processes: %w", err)
		}
		if len(counts) == 0 {
			return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
		}
		now := time.Now()
		rates := m.Read(now, countersOf(counts))
		if looks >= 0 {
			if err := a.printTop(topLook{now, len(counts), silent, topRows(rates, q.service)}); err != nil {
				return err
			}
		}
		if q.count > 0 && looks+1 >= q.count || run.Sleep(ctx, q.every) != nil {
			return a.out.Err()
		}
	}
}

// countersOf converts the counters of each process for package rate. The lists of one
// process name the same versions, once for each limit.
func countersOf(counts []control.Counts) map[string][]rate.Counter {
	type name struct {
		service, version, peer string
		made                   bool
	}
	all := map[string][]rate.Counter{}
	for _, c := range counts {
		at := map[name]int{}
		all[c.Process] = []rate.Counter{}
		for i, list := range c.Slower {
			for _, s := range list {
				key := name{s.Service, s.Version, s.Peer, s.Made}
				k, known := at[key]
				if !known {
					k = len(all[c.Process])
					at[key] = k
					all[c.Process] = append(all[c.Process], rate.Counter{
						Service: s.Service, Version: s.Version, Made: s.Made, Peer: s.Peer,
						Calls: s.Calls, Failures: s.Failures, Slower: make([]int64, len(c.Slower)),
					})
				}
				all[c.Process][k].Slower[i] = s.Slow
			}
		}
	}
	return all
}

// topLook is one look, and a line of `skerry top --json`.
type topLook struct {
	When      time.Time `json:"when"`
	Processes int       `json:"processes"`        // that answered
	Silent    int       `json:"silent,omitempty"` // that did not answer
	Rows      []topRow  `json:"rows"`
}

type topRow struct {
	Service string  `json:"service"`
	Version string  `json:"version"`
	Calls   float64 `json:"calls_per_s"`
	Failed  float64 `json:"failed_per_s"`
	P99     float64 `json:"p99_ms,omitempty"` // upper bound; absent: no call, or longer than 10 s
	Beyond  bool    `json:"p99_beyond,omitempty"`
}

func topRows(rates []rate.Rate, service string) []topRow {
	rows := []topRow{}
	for _, r := range rates {
		if service != "" && service != r.Service {
			continue
		}
		rows = append(rows, topRow{
			r.Service, r.Version, r.Calls, r.Failed, float64(r.P99) / float64(time.Millisecond), r.Beyond,
		})
	}
	slices.SortStableFunc(rows, func(a, b topRow) int {
		switch {
		case a.Calls > b.Calls:
			return -1
		case a.Calls < b.Calls:
			return 1
		}
		return 0
	})
	return rows
}

func (a *app) printTop(look topLook) error {
	if a.flags.json {
		return a.printLine(look)
	}
	a.out.Clear()
	total, failed := 0.0, 0.0
	var rows [][]string
	for _, r := range look.Rows {
		total += r.Calls
		failed += r.Failed
		rows = append(rows, []string{
			r.Service, orDash(r.Version), perSecond(r.Calls), perSecond(r.Failed), failedPart(r), p99Text(r),
		})
	}
	head := fmt.Sprintf("%s  %s, %s calls/s, %s failed/s", look.When.Format(time.TimeOnly),
		count(look.Processes, "process", "es"), perSecond(total), perSecond(failed))
	if look.Silent > 0 {
		head += ", " + count(look.Silent, "process", "es") + " did not answer"
	}
	a.item("", "%s", head)
	if len(rows) == 0 {
		a.item("", "No calls are counted.")
		return a.out.Err()
	}
	a.printTable([]string{"SERVICE", "VERSION", " CALLS/S", " FAILED/S", " FAILED", " P99"}, rows)
	return a.out.Err()
}

// perSecond returns a rate with the digits that have a meaning.
func perSecond(x float64) string {
	if x == 0 {
		return "0"
	}
	if x >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}

func failedPart(r topRow) string {
	if r.Failed == 0 {
		return "-"
	}
	return number.Percent(r.Failed/r.Calls, 2) + "%"
}

func p99Text(r topRow) string {
	switch {
	case r.Beyond:
		return "> 10s"
	case r.P99 == 0:
		return "-"
	}
	return "≤ " + latency(time.Duration(r.P99*float64(time.Millisecond)))
}
