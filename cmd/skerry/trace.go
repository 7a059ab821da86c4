package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
)

func (a *app) traceCommand() *cobra.Command {
	f := control.TraceFilter{}
	c := &cobra.Command{
		Use:   "trace [TRACEPARENT|ID]",
		Short: "Show where requests spend their time",
		Long: `Lists the slowest requests of the last hour, or those that failed, and shows one of
them with all its calls. Nothing collects traces: each process keeps spans of its own
calls in memory, and this command asks all processes. They keep calls that are slow or
failed, and of the others those of one of 64 traces.

With a traceparent or a trace id it draws the calls of that request: # is a call's own
time, - the time in which it waits for what it called, x its own time when it failed,
and . the time before its handler began or before it was sent.

--json prints the traces in the form of OpenTelemetry (OTLP), for other tools.

Exit code 1 when a process does not answer, or when no process keeps the trace.`,
		Example: "  skerry trace\n  skerry trace --failed --service historian\n" +
			"  skerry trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.trace(cmd.Context(), args[0])
			}
			return a.traces(cmd.Context(), f)
		},
	}
	set := c.Flags()
	set.StringVar(&f.Service, "service", "", "requests with a call of `SERVICE`")
	set.StringVar(&f.Method, "method", "", "requests with a call of `METHOD`")
	set.BoolVar(&f.Failed, "failed", false, "requests with a failed call, the newest first")
	set.StringVar(&f.Failure, "failure", "", "requests with a call that failed with `CODE`")
	set.StringVar(&f.Mark, "mark", "", "requests with `MARK`, such as that of a preview")
	set.DurationVar(&f.Slower, "slower", 0, "requests with a call that took at least so long")
	set.DurationVar(&f.Since, "since", time.Hour, "requests of the last `TIME`")
	set.IntVar(&f.Most, "most", 20, "number of requests, up to 50")
	spell(c, "since", time.Hour)
	c.RegisterFlagCompletionFunc("service", a.completeService)
	return c
}

// openTracer opens a node that finds traces.
func (a *app) openTracer(ctx context.Context) (*control.Tracer, func() error, error) {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return nil, nil, err
	}
	a.look(ctx, n, "")
	return control.NewTracer(n), n.Close, nil
}

func (a *app) traces(ctx context.Context, f control.TraceFilter) error {
	if f.Slower < 0 || f.Since <= 0 {
		return usagef("--since and --slower are times in the past: --since is more than 0s, --slower not less")
	}
	if f.Most < 1 || f.Most > control.MostTraces {
		return usagef("--most is %d, want 1 to %d", f.Most, control.MostTraces)
	}
	t, leave, err := a.openTracer(ctx)
	if err != nil {
		return err
	}
	defer leave()
	found, err := t.List(ctx, f)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	return a.printTraces(found, f)
}

func (a *app) trace(ctx context.Context, text string) error {
	id, err := control.ParseTraceID(text)
	if err != nil {
		return usagef("%w", err)
	}
	t, leave, err := a.openTracer(ctx)
	if err != nil {
		return err
	}
	defer leave()
	found, err := t.One(ctx, id)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	if len(found.List) == 0 && !a.flags.json {
		a.printUntold(found)
		return problemf("no process keeps a span of the trace %x; of requests that are neither slow nor failed, one "+
			"of %d is kept, and the newest push out older ones", id, found.Every)
	}
	return a.printTrace(found)
}

// answered is the error when a process has not answered.
func (a *app) answered(t control.Traces) error {
	if len(t.Silent) > 0 {
		return &exitError{exitProblem, nil}
	}
	return nil
}

func (a *app) printTraces(t control.Traces, f control.TraceFilter) error {
	if a.flags.json {
		if err := a.printJSON(control.ToOTLP(t.List)); err != nil {
			return err
		}
		return a.answered(t)
	}
	if len(t.List) == 0 {
		a.item("", "No process keeps such a request of the last %s. Processes keep calls that are slow or failed, and "+
			"of the others those of one of %d traces.", durationText(f.Since), t.Every)
	} else {
		var rows [][]string
		for i := range t.List {
			rows = append(rows, traceCells(&t.List[i]))
		}
		a.printTable([]string{"WHEN", "REQUEST", "FROM", " TOOK", "ENDED", "LONGEST OWN TIME", " CALLS", "TRACE"}, rows)
	}
	if t.More {
		a.note("There are further ones; filters or --most show others.")
	}
	a.printUntold(t)
	return a.answered(t)
}

func traceCells(t *control.Trace) []string {
	at := &t.Spans[t.Longest()]
	host, _, _ := strings.Cut(at.CalleeProcess, "/")
	return []string{t.Began.Local().Format("15:04:05.000"), t.Service + "." + t.Method, orDash(t.From),
		latency(t.Took), endOf(t), strings.TrimSpace(at.Service + " " + host + " " + latency(at.Own)),
		strconv.Itoa(t.Calls), t.ID}
}

// endOf says how a request ended.
func endOf(t *control.Trace) string {
	switch {
	case t.Failure != "":
		return t.Failure
	case t.Retried:
		return "ok after a failure"
	}
	return "ok"
}

// printUntold names the processes that tell nothing.
func (a *app) printUntold(t control.Traces) {
	for _, process := range slices.Sorted(maps.Keys(t.Silent)) {
		a.note("%s does not tell: %v", process, t.Silent[process])
	}
}

// printTrace draws one trace.
func (a *app) printTrace(found control.Traces) error {
	if a.flags.json {
		if err := a.printJSON(control.ToOTLP(found.List)); err != nil {
			return err
		}
		return a.answered(found)
	}
	for i := range found.List {
		a.drawTrace(&found.List[i])
	}
	a.printUntold(found)
	return a.answered(found)
}

func (a *app) drawTrace(t *control.Trace) {
	a.item("", "%s.%s from %s, %s, %s: %s of %s, told by %s, began %s", t.Service, t.Method, orDash(t.From),
		latency(t.Took), endOf(t), count(t.Calls, "call", "s"), count(len(t.Services), "service", "s"),
		count(len(t.Processes), "process", "es"), t.Began.Local().Format("2006-01-02 15:04:05.000"))
	a.printf("\n")
	var rows [][]string
	longest := t.Longest()
	for i := range t.Spans {
		s := &t.Spans[i]
		mark := "  "
		if i == longest {
			mark = "> "
		}
		rows = append(rows, []string{mark + callText(s), orDash(s.Version), latency(s.Took), latency(s.Own),
			lane(t, s), spanEnd(s)})
	}
	a.printTable([]string{"CALL", "VERSION", " TOOK", " OWN", "0" + strings.Repeat(" ", laneWidth-1), "ENDED"}, rows)
	a.printRules(t)
}

// callText is a call below the one that made it.
func callText(s *control.TraceSpan) string {
	text := strings.Repeat("  ", min(s.Depth, 10)) + s.Service
	if s.Lost {
		return text + " (not kept)"
	}
	text += "." + s.Method
	if s.Attempt > 1 {
		text += ", attempt " + strconv.Itoa(s.Attempt)
	}
	return text
}

// spanEnd says how an attempt ended and where.
func spanEnd(s *control.TraceSpan) string {
	if s.Lost {
		return ""
	}
	text := s.Failure
	if text == "" {
		text = "ok"
	}
	if s.Notes != "" {
		text += " (" + s.Notes + ")"
	}
	host, _, _ := strings.Cut(s.CalleeProcess, "/")
	if host == "" {
		host = s.Instance
	}
	if host != "" {
		text += " at " + host
	}
	return text
}

// laneWidth is the width of the bars.
const laneWidth = 40

// lane draws the time of a call in that of the trace.
func lane(t *control.Trace, s *control.TraceSpan) string {
	b := []byte(strings.Repeat(" ", laneWidth))
	at := func(d time.Duration) int {
		return min(max(int(int64(d)*laneWidth/int64(max(t.Took, 1))), 0), laneWidth-1)
	}
	draw := func(from, took time.Duration, c byte) {
		for i := at(from); i <= max(at(from+took-1), at(from)); i++ {
			b[i] = c
		}
	}
	own := byte('#')
	switch {
	case s.Lost:
		own = '-'
	case s.Failure != "":
		own = 'x'
	}
	draw(s.Began, s.Shown, own)
	for _, p := range s.Parts {
		if first, last := at(p.Began), at(p.Began+p.Took-1); last > first {
			draw(p.Began, p.Took, '-')
		}
	}
	if s.Wait > 0 && at(s.Began+s.Wait) > at(s.Began) {
		draw(s.Began, min(s.Wait, s.Shown), '.')
	}
	return string(b)
}

// printRules names the items of the policy that acted, each once.
func (a *app) printRules(t *control.Trace) {
	said := map[string]bool{}
	for i := range t.Spans {
		s := &t.Spans[i]
		if key := s.Service + ": " + s.Rules; s.Rules != "" && !said[key] {
			said[key] = true
			a.item("", "The policy acted on %s.%s: %s", s.Service, s.Method, s.Rules)
		}
	}
	if t.Release != "" {
		a.item("", "It reads generation %s of the releases%s.", t.Release, markText(t.Mark))
	}
}

func markText(mark string) string {
	if mark == "" {
		return ""
	}
	return ", with the mark " + mark
}
