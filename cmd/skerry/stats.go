package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/health/statlog"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
)

// statsQuery is the command line of `skerry stats`.
type statsQuery struct {
	service string
	since   time.Duration
	side    string
	by      string
	log     string
	refused bool
	last    time.Duration // 0: what was written is read
	streams bool
}

// groupings maps --by to the parts of a key that it keeps.
var groupings = map[string]func(health.Key) health.Key{
	"peer":    nil,
	"method":  func(k health.Key) health.Key { k.Peer = ""; return k },
	"version": func(k health.Key) health.Key { k.Peer, k.Method = "", ""; return k },
	"service": func(k health.Key) health.Key { k.Peer, k.Method, k.Version = "", "", ""; return k },
}

func (a *app) statsCommand() *cobra.Command {
	q := statsQuery{}
	c := &cobra.Command{
		Use:   "stats [SERVICE]",
		Short: "Show calls, failures by kind and latency",
		Long: `Shows what both sides counted: callers (client) and providers (server).
The counts come from the table skerry_call_stat when a database is configured,
else from the statistics logs of this host, or from the log files of --log.
They are written every 30 s: what happened since then is not there yet.
VERSION is the one that was called, whichever side counted. BY POLICY is what the
site's policy did: denied, limited, injected (a fault), fallback, mirrored.

Exit code 1 when nothing was counted.

P50 of several rows is the mean weighted by calls, P99 the largest.

--last asks the running processes instead for the calls of up to 5 minutes, which
they remember: nothing has to be written anywhere. With --by peer the peer is the
caller. Calls that both sides have counted are shown once, by the caller's counts,
unless --side asks for those of one side; plain Thrift clients are known by their
callees. A gateway's requests to HTTP services are calls by the name of their
method, such as GET. The answers cover up to 30 s more than asked for. Exit code
3 when no process answers.

--refused asks the running processes instead what they have refused since their
start: calls, connections and LAN packets of others, by kind, and says what to
do about each.

--streams asks them instead for their streams since their start: how many are open
and were opened, items and bytes in and out, for how long senders have waited for
their receivers, and how the streams have ended. skerry ls --streams lists the open
ones.`,
		Example: "  skerry stats\n  skerry stats --by version\n  skerry stats auth --by peer --since 10m\n" +
			"  skerry stats auth --last 1m\n" +
			"  skerry stats --log '/var/lib/*/stats-*.log' --json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				q.service = args[0]
			}
			if q.refused {
				if len(args) > 0 ||
					slices.ContainsFunc([]string{"since", "side", "by", "log", "last"}, cmd.Flags().Changed) {
					return usagef("--refused counts no calls of services: leave SERVICE, --since, --last, --side, " +
						"--by and --log out")
				}
				return a.refusedStats(cmd.Context())
			}
			if q.streams {
				if slices.ContainsFunc([]string{"since", "by", "log", "last"}, cmd.Flags().Changed) {
					return usagef("--streams counts since the start of the processes: leave --since, --last, --by " +
						"and --log out")
				}
				if err := q.check(); err != nil {
					return err
				}
				return a.streamStats(cmd.Context(), q.service, q.side)
			}
			if cmd.Flags().Changed("last") {
				if slices.ContainsFunc([]string{"since", "log"}, cmd.Flags().Changed) {
					return usagef("--last asks running processes: leave --since and --log out")
				}
				if q.last < time.Second || q.last > control.RecentWindow {
					return usagef("--last %v: want a time span from 1s to %v", q.last,
						durationText(control.RecentWindow))
				}
				if err := q.check(); err != nil {
					return err
				}
				return a.statsLast(cmd.Context(), q)
			}
			return a.stats(cmd.Context(), q)
		},
		ValidArgsFunction: a.completeService,
	}
	c.Flags().DurationVar(&q.since, "since", time.Hour, "how far to look back")
	spell(c, "since", q.since)
	c.Flags().StringVar(&q.side, "side", "", "count of one `SIDE` only: client or server")
	c.Flags().StringVar(&q.by, "by", "method", "add up by service, version, method or peer")
	c.Flags().StringVar(&q.log, "log", "", "read log `FILES` (a pattern) instead")
	c.Flags().DurationVar(&q.last, "last", 0, "ask the running processes for their calls of the last `TIME` instead")
	c.Flags().BoolVar(&q.refused, "refused", false, "what the running processes have refused, instead")
	c.Flags().BoolVar(&q.streams, "streams", false, "the streams of the running processes, instead")
	c.MarkFlagsMutuallyExclusive("refused", "streams")
	c.RegisterFlagCompletionFunc("side",
		cobra.FixedCompletions([]string{"client", "server"}, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("by",
		cobra.FixedCompletions([]string{"service", "version", "method", "peer"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (q statsQuery) check() error {
	if _, ok := groupings[q.by]; !ok {
		return usagef("--by %q: want service, version, method or peer", q.by)
	}
	if q.side != "" && q.side != "client" && q.side != "server" {
		return usagef("--side %q: want client or server", q.side)
	}
	if q.since <= 0 {
		return usagef("--since %v: want a time span such as 10m", q.since)
	}
	return nil
}

func (a *app) stats(ctx context.Context, q statsQuery) error {
	if err := q.check(); err != nil {
		return err
	}
	rows, source, err := a.readStats(ctx, q)
	if err != nil {
		return err
	}
	rows = statlog.Sum(rows, groupings[q.by])
	var empty error
	if len(rows) == 0 {
		empty = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(map[string]any{"source": source, "since": q.since.String(), "rows": rows}),
			empty)
	}
	if empty != nil {
		a.item("", "No calls of %s in the last %s in %s.", orAll(q.service), durationText(q.since), source)
		a.item("", "Counts are written every 30 s; try a longer --since, or --log FILES of another process.")
		return empty
	}
	a.statsTable(rows, q.by)
	return nil
}

func orAll(service string) string {
	if service == "" {
		return "any service"
	}
	return service
}

// readStats reads the statistics from their place in this configuration.
func (a *app) readStats(ctx context.Context, q statsQuery) ([]health.Row, string, error) {
	if q.log != "" {
		return readStatsLog(q.log, q)
	}
	c, err := a.config()
	if err != nil {
		return nil, "", err
	}
	c = c.WithDefaults()
	if c.Database.URL != "" && c.Mode != config.ModeBroadcast {
		return a.databaseStats(ctx, c, q)
	}
	if c.Stats.File == "" && (c.StateDir == "" || c.StateDir == "none") {
		return nil, "", problemf("no statistics log is kept: there is no state directory; name a log with --log")
	}
	return readStatsLog(cmp.Or(c.Stats.File, filepath.Join(c.StateDir, c.Cluster, "*.stats.log")), q)
}

func readStatsLog(pattern string, q statsQuery) ([]health.Row, string, error) {
	var rows []health.Row
	bad, err := statlog.Read(pattern, time.Now().Add(-q.since), func(r health.Row) error {
		if q.wants(r) {
			rows = append(rows, r)
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", problemf("no statistics log matches %s: no process of this host has written one there; "+
			"name it with --log", pattern)
	case err != nil:
		return nil, "", err
	case bad > 0:
		return rows, fmt.Sprintf("%s (%d lines unreadable)", pattern, bad), nil
	}
	return rows, pattern, nil
}

func (q statsQuery) wants(r health.Row) bool {
	return (q.service == "" || q.service == r.Service) && (q.side == "" || q.side == r.Side.String())
}

func (a *app) statsTable(rows []health.Row, by string) {
	header := []string{"SERVICE", "VERSION", "METHOD", "SIDE", "PEER", " CALLS", " FAILED", " P50", " P99", " MAX",
		"NOT OK", "BY POLICY"}
	some := false
	var table [][]string
	for i := range rows {
		r := &rows[i]
		table = append(table, []string{r.Service, orDash(r.Version), orDash(r.Method), r.Side.String(), orDash(r.Peer),
			strconv.FormatInt(r.Calls(), 10), failedShare(r), latency(r.P50), latency(r.P99), latency(r.Max),
			outcomesOf(r, false), outcomesOf(r, true)})
		some = some || outcomesOf(r, true) != ""
	}
	drop := map[string][]int{"method": {4}, "version": {4, 2}, "service": {4, 2, 1}}[by]
	if !some {
		drop = append([]int{len(header) - 1}, drop...)
	}
	for _, column := range drop { // from the right
		header = without(header, column)
		for i := range table {
			table[i] = without(table[i], column)
		}
	}
	a.printTable(header, table)
}

func without(row []string, i int) []string { return append(row[:i:i], row[i+1:]...) }

func failedShare(r *health.Row) string {
	if r.Failures() == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s%%)", r.Failures(), number.Percent(float64(r.Failures())/float64(r.Calls()), 2))
}

// byPolicy are the outcomes that the site's policy has caused.
var byPolicy = []health.Outcome{health.Injected, health.Limited, health.Denied, health.Mirrored, health.Fallback}

// outcomesOf lists the outcomes other than success: those that the site's policy has caused, or the others.
func outcomesOf(r *health.Row, policy bool) string {
	var kinds []string
	for o, n := range r.Outcomes {
		if n > 0 && health.Outcome(o) != health.OK && slices.Contains(byPolicy, health.Outcome(o)) == policy {
			kinds = append(kinds, fmt.Sprintf("%s %d", health.Outcome(o), n))
		}
	}
	return strings.Join(kinds, ", ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
