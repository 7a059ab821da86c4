package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/control"
)

// tracer finds traces when a page asks for them.
type tracer interface {
	List(ctx context.Context, f control.TraceFilter) (control.Traces, error)
	One(ctx context.Context, id [16]byte) (control.Traces, error)
}

const (
	traceSince = time.Hour
	traceLimit = 3 * time.Second
	traceAge   = 2 * time.Second // of an answer that another page may see, too
	mostAsked  = 64              // answers that are remembered
)

// tracesPage answers: which requests were slow or failed, and where did their time go?
type tracesPage struct {
	Lead     phrase            `json:"-"`
	Filter   traceQuery        `json:"-"`
	Traces   []traceRow        `json:"traces"`
	Chosen   *traceView        `json:"trace,omitempty"`
	Answered int               `json:"processes_answered"`
	Silent   map[string]string `json:"silent,omitempty"`
	Every    int               `json:"others_kept_of_traces"`
	More     bool              `json:"more,omitempty"`
	Wrong    phrase            `json:"-"` // of what was pasted
	Services []string          `json:"-"` // to choose from
	Shown    []traceRow        `json:"-"` // the first of Traces

	list, one []control.Trace
}

// traceQuery is what the address asks for.
type traceQuery struct {
	Kind                           string // failed; "": slowest
	Service, Method, Failure, Mark string
	Trace                          string // id, or a pasted traceparent
	Span                           string // id
}

// traceRow is a trace in the list.
type traceRow struct {
	ID       string    `json:"id"`
	Began    time.Time `json:"began"`
	Service  string    `json:"service"`
	Method   string    `json:"method"`
	From     string    `json:"begins_in"`
	Took     float64   `json:"took_ms"`
	Failure  string    `json:"failure,omitempty"`
	Retried  bool      `json:"retried,omitempty"`
	Calls    int       `json:"calls"`
	Versions []string  `json:"met"`
	Mark     string    `json:"mark,omitempty"`
	Release  string    `json:"release_rules,omitempty"`
	Slowest  string    `json:"longest_own"` // service with the longest own time, and its host
	Link     string    `json:"-"`
	Chosen   bool      `json:"-"`
}

// traceView is one trace as a waterfall.
type traceView struct {
	traceRow
	Services  int          `json:"services"`
	Processes []string     `json:"processes"`
	Axis      []string     `json:"-"`
	Spans     []spanRow    `json:"spans"`
	Own       []ownTimeRow `json:"own_time"`
	Span      *spanRow     `json:"-"`                 // that is shown in full
	Lost      bool         `json:"-"`                 // some parent was not kept
	Missing   []string     `json:"missing,omitempty"` // addresses of instances that have told nothing
}

// spanRow is a call in the waterfall. Places are percent of the whole.
type spanRow struct {
	ID       string  `json:"id"`
	Depth    int     `json:"depth"`
	Service  string  `json:"service"`
	Method   string  `json:"method"`
	Version  string  `json:"version,omitempty"`
	Caller   string  `json:"caller,omitempty"`
	Attempt  int     `json:"attempt"`
	Instance string  `json:"instance,omitempty"`
	Host     string  `json:"host,omitempty"`
	Process  string  `json:"process,omitempty"`
	Began    float64 `json:"began_ms"`
	Took     float64 `json:"took_ms"`
	Own      float64 `json:"own_ms"`
	Wait     float64 `json:"waited_ms,omitempty"`
	Limit    float64 `json:"limit_ms,omitempty"`
	Failure  string  `json:"failure,omitempty"`
	Rules    string  `json:"rules,omitempty"`
	Release  string  `json:"release_rules,omitempty"`
	Mark     string  `json:"mark,omitempty"`
	Notes    string  `json:"notes,omitempty"`
	Lost     bool    `json:"not_kept,omitempty"`
	Longest  bool    `json:"longest_own,omitempty"`
	Link     string  `json:"-"`
	Chosen   bool    `json:"-"`
	OneSide  bool    `json:"one_side,omitempty"` // only caller or callee has told of it

	Bars  []traceBar `json:"-"`
	TextX string     `json:"-"` // place of the label; "": there is no room
	Label string     `json:"-"`
}

// traceBar is a part of a span's time as a mark.
type traceBar struct {
	Class, X, Width string
	Y, Height       int
}

// ownTimeRow is the own time of a service.
type ownTimeRow struct {
	Service string  `json:"service"`
	Own     float64 `json:"own_ms"`
	Share   float64 `json:"percent"`
	Failed  bool    `json:"failed,omitempty"`
	Width   string  `json:"-"`
}

func (s *snapshot) tracesPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	short := func(name string) string { v := q.Get(name); return v[:min(len(v), 200)] }
	f := traceQuery{Kind: short("kind"), Service: short("service"), Method: short("method"),
		Failure: short("failure"), Mark: short("mark"), Trace: short("trace"), Span: short("span")}
	p := &tracesPage{Filter: f, Traces: []traceRow{}, Silent: map[string]string{}, Services: s.serviceNames(f.Service)}
	ctx, cancel := context.WithTimeout(r.Context(), traceLimit)
	defer cancel()
	if s.Tracer == nil {
		p.Lead = say("traces.none")
		return p, nil
	}
	found, err := s.Tracer.List(ctx, control.TraceFilter{Service: f.Service, Method: f.Method, Failure: f.Failure,
		Mark: f.Mark, Since: traceSince, Failed: f.Kind == "failed"})
	if err != nil {
		p.Lead = say("traces.unasked", "why", err.Error())
		return p, nil
	}
	p.take(found)
	p.Lead = p.lead()
	s.choose(ctx, p)
	p.link(r.URL)
	return p, nil
}

// rowsShown is the number of rows above the waterfall, so that both are seen at once.
const rowsShown = 8

// link sets the addresses of rows, and the rows that are shown.
func (p *tracesPage) link(at *url.URL) {
	q := at.Query()
	all := q.Get("all") != ""
	q.Del("format")
	to := func(trace, span string) string {
		q.Set("trace", trace)
		q.Del("span")
		if span != "" {
			q.Set("span", span)
		}
		return at.Path + "?" + q.Encode()
	}
	for i := range p.Traces {
		p.Traces[i].Link = to(p.Traces[i].ID, "")
	}
	if p.Shown = p.Traces; !all {
		p.Shown = p.Traces[:min(len(p.Traces), rowsShown)]
	}
	if v := p.Chosen; v != nil {
		for i := range v.Spans {
			v.Spans[i].Link = to(v.ID, v.Spans[i].ID)
		}
	}
}

// Filtered reports whether the address leaves something out.
func (p *tracesPage) Filtered() bool {
	f := p.Filter
	return f.Service+f.Method+f.Failure+f.Mark+f.Trace != ""
}

// SilentOnes names processes that have told nothing, and why.
func (p *tracesPage) SilentOnes() string {
	var parts []string
	for _, process := range sorted(p.Silent) {
		parts = append(parts, process+" ("+p.Silent[process]+")")
	}
	if n := len(parts); n > 5 {
		parts = append(parts[:5], fmt.Sprintf("+%d", n-5))
	}
	return strings.Join(parts, ", ")
}

// serviceNames are the services of the site, and the one that is asked for.
func (s *snapshot) serviceNames(asked string) []string {
	names := []string{}
	if asked != "" {
		names = append(names, asked)
	}
	for _, r := range s.services() {
		names = append(names, r.Name)
	}
	return compact(names)
}

func (p *tracesPage) take(found control.Traces) {
	p.list, p.Answered, p.Silent, p.Every, p.More = found.List, found.Answered, found.Silent, found.Every, found.More
	for i := range p.list {
		p.Traces = append(p.Traces, rowOfTrace(&p.list[i]))
	}
}

// choose shows one trace in full: the one that the address names, else the first.
func (s *snapshot) choose(ctx context.Context, p *tracesPage) {
	if p.Filter.Trace == "" {
		if len(p.list) > 0 {
			p.show(&p.list[0])
		}
		return
	}
	id, err := control.ParseTraceID(p.Filter.Trace)
	if err != nil {
		p.Wrong = say("traces.wrong", "text", p.Filter.Trace)
		return
	}
	for i := range p.list {
		if p.list[i].ID == fmt.Sprintf("%x", id) {
			p.show(&p.list[i])
			return
		}
	}
	found, err := s.Tracer.One(ctx, id)
	switch {
	case err != nil:
		p.Wrong = say("traces.unasked", "why", err.Error())
	case len(found.List) == 0:
		p.Wrong = say("traces.unknown", "id", fmt.Sprintf("%x", id), "every", found.Every)
	default:
		p.one = found.List
		p.show(&found.List[0])
	}
}

func rowOfTrace(t *control.Trace) traceRow {
	row := traceRow{ID: t.ID, Began: t.Began, Service: t.Service, Method: t.Method, From: t.From, Took: ms(t.Took),
		Failure: t.Failure, Retried: t.Retried, Calls: t.Calls, Mark: t.Mark, Release: t.Release, Versions: []string{}}
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Version != "" {
			row.Versions = append(row.Versions, s.Service+" "+s.Version)
		}
	}
	row.Versions = compact(row.Versions)
	at := &t.Spans[t.Longest()]
	row.Slowest = placeOfSpan(at)
	return row
}

// placeOfSpan is the service of a call and where it ran, as far as that is known.
func placeOfSpan(s *control.TraceSpan) string {
	if at := cmp.Or(hostOf(s.CalleeProcess), s.Instance); at != "" {
		return s.Service + " (" + at + ")"
	}
	return s.Service
}

// lead says where most of the traces spend their time, or what fails them.
func (p *tracesPage) lead() phrase {
	if len(p.list) == 0 {
		if p.Filter.Kind == "failed" {
			return say("traces.none-failed")
		}
		return say("traces.none")
	}
	counts := map[string]int{}
	for i := range p.list {
		if p.Filter.Kind == "failed" {
			counts[cause(&p.list[i])]++
		} else {
			counts[p.Traces[i].Slowest]++
		}
	}
	most := ""
	for _, what := range sorted(counts) {
		if counts[what] > counts[most] {
			most = what
		}
	}
	key := "traces.waits"
	if p.Filter.Kind == "failed" {
		key = "traces.fails"
	}
	if len(p.list) == 1 {
		return say(key+"-only", "what", most)
	}
	return say(key, "what", most, "n", counts[most], "all", len(p.list))
}

// cause is the deepest call of a trace that failed.
func cause(t *control.Trace) string {
	deepest := -1
	what := ""
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Failure != "" && s.Depth > deepest {
			deepest = s.Depth
			what = placeOfSpan(s) + ": " + s.Failure
		}
	}
	return what
}

// show puts a trace below the list.
func (p *tracesPage) show(t *control.Trace) {
	for i := range p.Traces {
		p.Traces[i].Chosen = p.Traces[i].ID == t.ID
	}
	v := &traceView{traceRow: rowOfTrace(t), Services: len(t.Services), Processes: t.Processes, Own: ownTimeRows(t)}
	for i := range 5 {
		v.Axis = append(v.Axis, millis(ms(t.Took)*float64(i)/4))
	}
	v.Axis[0] = "0"
	longest := t.Longest()
	for i := range t.Spans[:min(len(t.Spans), spansShown)] {
		row := rowOfSpan(t, &t.Spans[i])
		row.Longest = i == longest
		v.Spans = append(v.Spans, row)
		v.Lost = v.Lost || row.Lost
		if row.OneSide && row.Process == "" && row.Instance != "" {
			v.Missing = append(v.Missing, row.Service+" "+row.Instance)
		}
	}
	v.Missing = compact(v.Missing)
	chosen := min(longest, len(v.Spans)-1)
	for i := range v.Spans {
		if v.Spans[i].ID == p.Filter.Span {
			chosen = i
		}
	}
	v.Spans[chosen].Chosen = true
	v.Span = &v.Spans[chosen]
	p.Chosen = v
}

// spansShown bounds the rows of a waterfall.
const spansShown = 300

func rowOfSpan(t *control.Trace, s *control.TraceSpan) spanRow {
	row := spanRow{ID: fmt.Sprintf("%016x", s.ID), Depth: min(s.Depth, 8), Service: s.Service, Method: s.Method,
		Version: s.Version, Caller: s.Caller, Attempt: s.Attempt, Instance: s.Instance, Host: hostOf(s.CalleeProcess),
		Process: s.CalleeProcess, Began: ms(s.Began), Took: ms(s.Took), Own: ms(s.Own), Wait: ms(s.Wait),
		Limit: ms(s.Limit), Failure: s.Failure, Rules: s.Rules, Release: s.Release, Mark: s.Mark, Notes: s.Notes,
		Lost: s.Lost, OneSide: !s.Lost && (s.CallerProcess == "" || s.CalleeProcess == "")}
	at := func(d time.Duration) float64 { return 100 * float64(d) / float64(max(t.Took, 1)) }
	bar := func(class string, from, took time.Duration, y, height int) {
		row.Bars = append(row.Bars, traceBar{class, percentAt(at(from)), percentAt(max(at(took), 0.35)), y, height})
	}
	own := "wf-own"
	if s.Failure != "" {
		own = "b-bad"
	}
	if s.Lost {
		bar("wf-lost", s.Began, s.Shown, 8, 2)
		return row
	}
	from := s.Began
	for _, part := range s.Parts {
		if part.Began > from {
			bar(own, from, part.Began-from, 3, 12)
		}
		bar("wf-in", part.Began, part.Took, 7, 4)
		from = part.Began + part.Took
	}
	if end := s.Began + s.Shown; end > from || len(s.Parts) == 0 {
		bar(own, from, end-from, 3, 12)
	}
	if s.Wait > 0 && at(s.Wait) >= 0.5 {
		bar("wf-wait", s.Began, min(s.Wait, s.Shown), 3, 12)
	}
	if end := at(s.Began+s.Shown) + 0.8; end < 70 {
		row.TextX, row.Label = percentAt(end), millis(row.Took)+" ms"
		if s.Failure != "" {
			row.Label = s.Failure + ", " + row.Label
		}
	}
	return row
}

func percentAt(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "%" }

func ownTimeRows(t *control.Trace) (rows []ownTimeRow) {
	var all time.Duration
	times := t.OwnTimes()
	for _, o := range times {
		all += o.Took
	}
	for _, o := range times[:min(len(times), 8)] {
		if o.Took == 0 {
			continue
		}
		share := 100 * float64(o.Took) / float64(max(all, 1))
		rows = append(rows, ownTimeRow{o.Service, ms(o.Took), share, o.Failed, percentAt(share)})
	}
	return rows
}

// command is the command line that shows the same.
func (p *tracesPage) command() string {
	if p.Filter.Trace != "" && p.Chosen != nil {
		return "skerry trace " + p.Chosen.ID
	}
	line := "skerry trace"
	if p.Filter.Kind == "failed" {
		line += " --failed"
	}
	for _, f := range [][2]string{{"service", p.Filter.Service}, {"method", p.Filter.Method},
		{"failure", p.Filter.Failure}, {"mark", p.Filter.Mark}} {
		if f[1] != "" {
			line += " --" + f[0] + " " + shellWord(f[1])
		}
	}
	return line
}

// file is the chosen trace in the form of OpenTelemetry.
func (p *tracesPage) file() (name string, doc any) {
	if p.Chosen == nil {
		return "traces.json", control.ToOTLP(p.list)
	}
	for i := range p.list {
		if p.list[i].ID == p.Chosen.ID {
			return "trace-" + p.Chosen.ID + ".json", control.ToOTLP(p.list[i : i+1])
		}
	}
	return "trace-" + p.Chosen.ID + ".json", control.ToOTLP(p.one)
}

// askedTraces remembers answers for a moment, so that pages that are open in many browsers ask once.
type askedTraces struct {
	of tracer

	mu   sync.Mutex
	last map[string]*askedOnce
}

type askedOnce struct {
	mu    sync.Mutex
	at    time.Time
	found control.Traces
	err   error
}

func (a *askedTraces) List(ctx context.Context, f control.TraceFilter) (control.Traces, error) {
	return a.once(fmt.Sprintf("%q", []any{f.Service, f.Method, f.Failure, f.Mark, f.Failed}),
		func() (control.Traces, error) { return a.of.List(ctx, f) })
}

func (a *askedTraces) One(ctx context.Context, id [16]byte) (control.Traces, error) {
	return a.once(string(id[:]), func() (control.Traces, error) { return a.of.One(ctx, id) })
}

func (a *askedTraces) once(key string, ask func() (control.Traces, error)) (control.Traces, error) {
	a.mu.Lock()
	if a.last == nil || len(a.last) >= mostAsked {
		a.last = map[string]*askedOnce{}
	}
	o := a.last[key]
	if o == nil {
		o = &askedOnce{}
		a.last[key] = o
	}
	a.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || time.Since(o.at) >= traceAge {
		o.found, o.err = ask()
		if o.at = time.Now(); o.err != nil {
			o.at = time.Time{} // the browser may have left
		}
	}
	return o.found, o.err
}
