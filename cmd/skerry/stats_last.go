package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
)

// lastRow is a row of stats --last.
type lastRow struct {
	Service string           `json:"service"`
	Version string           `json:"version,omitempty"`
	Method  string           `json:"method,omitempty"`
	Side    string           `json:"side"` // client or server: which has counted
	Caller  string           `json:"caller,omitempty"`
	Calls   int64            `json:"calls"`
	Rate    float64          `json:"calls_per_s"`
	Failed  int64            `json:"failed"`
	Kinds   map[string]int64 `json:"failures,omitempty"` // by outcome
	P50     float64          `json:"p50_ms"`
	P95     float64          `json:"p95_ms"`
	P99     float64          `json:"p99_ms"`
}

// lastStats is the document of stats --last.
type lastStats struct {
	Last      string            `json:"last"`
	Processes int               `json:"processes"` // that have answered
	Rows      []lastRow         `json:"rows"`
	KindsLeft int64             `json:"kinds_left_out,omitempty"`
	CallsLeft int64             `json:"calls_left_out,omitempty"`
	Silent    map[string]string `json:"silent,omitempty"` // by process: why it has told nothing
}

// statsLast shows what the running processes remember.
func (a *app) statsLast(ctx context.Context, q statsQuery) error {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	a.look(ctx, n, "")
	r, err := control.AllRecent(ctx, n, q.last)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	if r.Answered == 0 {
		for _, process := range slices.Sorted(maps.Keys(r.Silent)) {
			return unreachablef("no process of the site tells its calls; %s: %w", process, r.Silent[process])
		}
		return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
	}
	return a.printLast(q, r)
}

func (a *app) printLast(q statsQuery, r control.Recent) error {
	s := lastStats{Last: q.last.String(), Processes: r.Answered, Rows: lastRows(q, r.Calls), KindsLeft: r.KindsLeft,
		CallsLeft: r.CallsLeft, Silent: map[string]string{}}
	for process, err := range r.Silent {
		s.Silent[process] = err.Error()
	}
	var empty error
	if len(s.Rows) == 0 {
		empty = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(s), empty)
	}
	if empty != nil {
		a.item("", "No calls of %s in the last %s, by %s.", orAll(q.service), durationText(q.last),
			answering(r.Answered))
	} else {
		a.lastTable(s.Rows, q.by)
	}
	for _, process := range slices.Sorted(maps.Keys(s.Silent)) {
		a.item("", "Missing: the calls of %s: %s.", process, s.Silent[process])
	}
	if s.KindsLeft > 0 {
		a.item("", "Left out: %d calls of %d kinds; their processes tell of those with most calls.", s.CallsLeft,
			s.KindsLeft)
	}
	return empty
}

// lastRows adds calls up as the command line asks. Without a side, calls that both sides have counted are those of the
// caller.
func lastRows(q statsQuery, calls []control.RecentCalls) []lastRow {
	type key struct{ service, version, method, side, caller string }
	sums := map[key]*control.RecentCalls{}
	for i := range calls {
		c := &calls[i]
		k := key{c.Service, c.Version, c.Method, "client", c.Caller}
		if c.Served {
			k.side = "server"
		}
		if q.service != "" && q.service != c.Service || q.side != "" && q.side != k.side || q.side == "" && c.Twice {
			continue
		}
		switch q.by {
		case "service":
			k.version, k.method, k.caller = "", "", ""
		case "version":
			k.method, k.caller = "", ""
		case "method":
			k.caller = ""
		}
		if sums[k] == nil {
			sums[k] = &control.RecentCalls{}
		}
		sums[k].Sum(c)
	}
	rows := []lastRow{}
	for k, c := range sums {
		rows = append(rows, lastRow{k.service, k.version, k.method, k.side, k.caller, c.Calls, c.Rate, c.Failed,
			c.Kinds, inMillis(c.Latency.Quantile(0.5)), inMillis(c.Latency.Quantile(0.95)),
			inMillis(c.Latency.Quantile(0.99))})
	}
	slices.SortFunc(rows, func(a, b lastRow) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version),
			strings.Compare(a.Method, b.Method), strings.Compare(a.Side, b.Side), strings.Compare(a.Caller, b.Caller))
	})
	return rows
}

func answering(n int) string {
	if n == 1 {
		return "the process that answers"
	}
	return fmt.Sprintf("the %d processes that answer", n)
}

func inMillis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

func (a *app) lastTable(rows []lastRow, by string) {
	header := []string{"SERVICE", "VERSION", "METHOD", "SIDE", "CALLER", " CALLS", " A SECOND", " FAILED", " P50",
		" P95", " P99", "NOT OK"}
	var table [][]string
	for i := range rows {
		r := &rows[i]
		failed := "0"
		if r.Failed > 0 {
			failed = strconv.FormatInt(r.Failed, 10) + " (" +
				number.Percent(float64(r.Failed)/float64(r.Calls), 2) + "%)"
		}
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
			kinds = append(kinds, kind+" "+strconv.FormatInt(r.Kinds[kind], 10))
		}
		took := func(ms float64) string { return latency(time.Duration(ms * float64(time.Millisecond))) }
		table = append(table, []string{r.Service, orDash(r.Version), orDash(r.Method), r.Side, orDash(r.Caller),
			strconv.FormatInt(r.Calls, 10), strconv.FormatFloat(r.Rate, 'f', 1, 64), failed, took(r.P50), took(r.P95),
			took(r.P99), strings.Join(kinds, ", ")})
	}
	for _, column := range map[string][]int{"method": {4}, "version": {4, 2}, "service": {4, 2, 1}}[by] {
		header = without(header, column)
		for i := range table {
			table[i] = without(table[i], column)
		}
	}
	a.printTable(header, table)
}
