package console

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/words"
	"github.com/skerry/skerry/policy"
)

// servicePage answers: which instance fails, since when, and what says so?
type servicePage struct {
	Row       serviceRow    `json:"service"`
	Lead      phrase        `json:"-"`
	Most      phrase        `json:"-"` // which caller calls most
	Instances []instanceRow `json:"instances"`
	Pager     pager         `json:"-"`
	Methods   []methodRow   `json:"methods"`
	More      int           `json:"methods_left_out,omitempty"`
	Versions  []latencyRow  `json:"latency"`
	In        []edgeRow     `json:"callers"`
	Out       []edgeRow     `json:"calls"`
	InAll     int           `json:"callers_total"`
	OutAll    int           `json:"calls_total"`
	Rules     []ruleGroup   `json:"rules"`
	Programs  []string      `json:"programs,omitempty"`
	Untold    untold        `json:"untold"`
}

// instanceRow is one instance of a service. Rate and Failed are of its callers' attempts, Own is what it says itself.
type instanceRow struct {
	Host    string        `json:"host"`
	Addr    string        `json:"address"`
	Version string        `json:"version"`
	Zone    string        `json:"zone,omitempty"`
	Dot     dot           `json:"-"`
	State   string        `json:"state"`
	Why     string        `json:"why,omitempty"`
	Since   time.Time     `json:"since,omitzero"`
	Weight  int           `json:"weight"`
	Rate    float64       `json:"calls_per_s"`
	Failed  float64       `json:"failed_percent"`
	Called  bool          `json:"-"`
	Own     *ownRow       `json:"own,omitempty"` // nil: it says nothing
	Up      time.Duration `json:"-"`
	Owner   string        `json:"process"`
	Sources []string      `json:"listed_by"`
	Callers dot           `json:"-"`       // what the callers' counts say
	Hurt    bool          `json:"-"`       // by the callers' counts
	Differs phrase        `json:"-"`       // how the callers' counts differ from its own
	Odd     bool          `json:"differs"` // they do
}

// ownRow is what an instance has counted itself.
type ownRow struct {
	Rate   float64 `json:"calls_per_s"`
	Failed float64 `json:"failed_percent"`
	P99    float64 `json:"p99_ms"`
	Kinds  string  `json:"failures"`
}

// methodRow is one method of a version.
type methodRow struct {
	Method  string  `json:"method"`
	Version string  `json:"version"`
	Next    bool    `json:"-"` // a further version of the method above
	Rate    float64 `json:"calls_per_s"`
	Failed  float64 `json:"failed_percent"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Kinds   string  `json:"failures"`
}

// latencyRow is the latencies of one version.
type latencyRow struct {
	Version string    `json:"version"`
	New     bool      `json:"-"`
	Calls   int64     `json:"calls"`
	P50     float64   `json:"p50_ms"`
	P95     float64   `json:"p95_ms"`
	P99     float64   `json:"p99_ms"`
	Own     float64   `json:"own_p99_ms"` // as its instances have counted; 0: not known
	Steps   []stepBar `json:"-"`
	From    float64   `json:"-"` // of the first step, in ms
	To      float64   `json:"-"` // of the last step
}

// edgeRow is the calls between two services.
type edgeRow struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Rate   float64 `json:"calls_per_s"`
	Failed float64 `json:"failed_percent"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Kinds  string  `json:"failures"`
	Served bool    `json:"counted_by_callee"` // the caller counts nothing, or has not told
	TLS    bool    `json:"tls"`               // every listed instance of the callee has it
	Slow   bool    `json:"slow,omitempty"`
	Usual  float64 `json:"usual_p99_ms,omitempty"` // of what is slow
	Worse  worse   `json:"-"`
}

// stepBar is one step of a histogram, in parts of the highest.
type stepBar struct {
	X, Width, Height, Y float64
	Label               string
}

// badShare is the failed part of the calls, in percent, from which a line is marked.
const badShare = 1

// kinds lists failures by outcome, the most first.
func kinds(of map[string]int64) string {
	names := sorted(of)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(of[b], of[a]) })
	parts := make([]string, 0, len(names))
	for _, n := range names {
		if of[n] > 0 {
			parts = append(parts, n+" "+words.Grouped(of[n]))
		}
	}
	return strings.Join(parts, ", ")
}

// Rows that the page of a service shows of each of its tables: those with most calls, or that fail.
const (
	methodsShown = 100
	edgesShown   = 100
)

func (s *snapshot) servicePage(r *http.Request) (any, error) {
	name := r.PathValue("service")
	all := s.services()
	i := slices.IndexFunc(all, func(r serviceRow) bool { return r.Name == name })
	if i < 0 {
		return nil, &notFound{say("service.unknown", "service", name)}
	}
	p := servicePage{Row: all[i], Untold: s.Untold}
	at := tally(s.Attempts, func(f flow) (string, bool) { return f.Instance, f.Service == name && f.Instance != "" })
	var list []instanceRow
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Service == name {
			list = append(list, s.instanceRow(e, of(at, e.Addr), s.Own[place{e.Owner, name, e.Version}]))
		}
	}
	slices.SortFunc(list, func(a, b instanceRow) int {
		return cmp.Or(cmp.Compare(dotOrder[b.Dot.Kind], dotOrder[a.Dot.Kind]), cmp.Compare(b.Failed, a.Failed),
			cmp.Compare(a.Host, b.Host), cmp.Compare(a.Addr, b.Addr))
	})
	p.Lead = serviceLead(list)
	p.Instances, p.Pager = paged(list, r)
	p.Methods = s.methods(name)
	p.More = max(0, len(p.Methods)-methodsShown)
	p.Methods = p.Methods[:len(p.Methods)-p.More]
	p.Versions = s.latencies(name)
	for _, e := range s.edges() {
		switch name {
		case e.To:
			p.In = append(p.In, e)
		case e.From:
			p.Out = append(p.Out, e)
		}
	}
	p.Most = mostCalls(p.In)
	busiestFirst(p.In)
	busiestFirst(p.Out)
	p.Rules = s.rulesOf(name)
	p.InAll, p.OutAll = len(p.In), len(p.Out)
	p.In, p.Out = p.In[:min(p.InAll, edgesShown)], p.Out[:min(p.OutAll, edgesShown)]
	return p, nil
}

// mostCalls names the caller with most calls.
func mostCalls(in []edgeRow) phrase {
	all, most := 0.0, edgeRow{}
	for _, e := range in {
		all += e.Rate
		if e.Rate > most.Rate {
			most = e
		}
	}
	if most.Rate == 0 {
		return phrase{}
	}
	return say("service.most", "caller", callerName(most.From), "rate", rateText(most.Rate), "all", rateText(all))
}

// busiestFirst orders the edges at the end that are as usual by their calls: in powers of two, so that rows keep their
// places while figures change a little.
func busiestFirst(edges []edgeRow) {
	asUsual := func(e edgeRow) bool { return e.Worse == usual && e.Failed == 0 && !e.Slow }
	first := len(edges)
	for first > 0 && asUsual(edges[first-1]) {
		first--
	}
	slices.SortStableFunc(edges[first:], func(a, b edgeRow) int {
		return cmp.Compare(math.Ilogb(b.Rate), math.Ilogb(a.Rate))
	})
}

// rulesOf is what the policy in force says about a service, and about all of them.
func (s *snapshot) rulesOf(service string) []ruleGroup {
	groups := []ruleGroup{}
	table := s.Policy.table()
	if table.Policy() == nil {
		return groups
	}
	for _, name := range []string{service, policy.Every} {
		g := groupOf(table, name, s.Policy.Applied)
		g.More = max(0, len(g.Rules)-shownRules)
		if g.Rules = g.Rules[:len(g.Rules)-g.More]; len(g.Rules) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// methods are those of a service with calls, by version, the busiest method first.
func (s *snapshot) methods(service string) (list []methodRow) {
	type key struct{ method, version string }
	sums := tally(s.Flows, func(f flow) (key, bool) {
		return key{f.Method, f.Version}, f.Service == service && f.Method != ""
	})
	rates := map[string]float64{}
	for k, f := range sums {
		rates[k.method] += f.Rate()
		list = append(list, methodRow{k.method, k.version, false, f.Rate(), f.Share(), ms(f.P50()), ms(f.P99()),
			kinds(f.Kinds)})
	}
	slices.SortFunc(list, func(a, b methodRow) int {
		return cmp.Or(cmp.Compare(rates[b.Method], rates[a.Method]), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Version, b.Version))
	})
	for i := range list {
		list[i].Next = i > 0 && list[i].Method == list[i-1].Method
	}
	return list
}

// versionsShown is the number of versions whose latencies are drawn.
const versionsShown = 6

// latencies are those of the versions of a service, all drawn over the same steps.
func (s *snapshot) latencies(service string) (list []latencyRow) {
	sums := tally(s.Flows, func(f flow) (string, bool) { return f.Version, f.Service == service })
	own := map[string]*figures{}
	for at, f := range s.Own {
		if at.Service == service {
			if own[at.Version] == nil {
				own[at.Version] = &figures{}
			}
			own[at.Version].Latency.Sum(f.Latency)
		}
	}
	var all recent.Steps
	for _, f := range sums {
		all.Sum(f.Latency)
	}
	first, last := 0, len(all)-1
	for first < last && all[first] == 0 {
		first++
	}
	for last > first && all[last] == 0 {
		last--
	}
	for _, version := range sorted(sums) {
		f := sums[version]
		if f.Latency.Calls() == 0 {
			continue
		}
		o := of(own, version)
		list = append(list, latencyRow{Version: version, New: s.versionTag(service, version).New,
			Calls: f.Latency.Calls(), P50: ms(f.P50()), P95: ms(f.Latency.Quantile(0.95)), P99: ms(f.P99()),
			Own: ms(o.P99()), Steps: bars(&f.Latency, first, last), From: lower(first), To: ms(recent.StepBound(last))})
	}
	slices.SortStableFunc(list, func(a, b latencyRow) int { return cmp.Compare(b.Calls, a.Calls) })
	list = list[:min(len(list), versionsShown)]
	slices.SortFunc(list, func(a, b latencyRow) int { return cmp.Compare(a.Version, b.Version) })
	return list
}

func (s *snapshot) instanceRow(e *discovery.Entry, f figures, own *figures) instanceRow {
	row := instanceRow{Host: hostOf(e.Owner), Addr: e.Addr, Version: e.Version, Zone: e.Zone, Dot: dotOf(*e),
		State: string(e.State), Why: e.Why, Since: e.Since, Weight: e.Weight, Rate: f.Rate(), Failed: f.Share(),
		Called: f.Calls > 0, Owner: e.Owner, Callers: dot{"ok"}, Hurt: f.Failed > 1 && f.Share() >= badShare}
	if e.Standing != "" {
		row.State += ", " + e.Standing
	}
	if !e.Started.IsZero() {
		row.Up = max(s.At.Sub(e.Started), 0)
	}
	for _, src := range e.Sources {
		row.Sources = append(row.Sources, src.Name)
	}
	if own != nil {
		row.Own = &ownRow{own.Rate(), own.Share(), ms(own.P99()), kinds(own.Kinds)}
	}
	if row.Hurt && row.Own != nil && row.Own.Failed < f.Share()/4 {
		row.Odd, row.Differs = true, say("service.unheard", "own", percent(row.Own.Failed))
	}
	switch {
	case row.Hurt:
		row.Callers = dot{"bad"}
	case f.Calls == 0:
		row.Callers = dot{"off"}
	}
	return row
}

// serviceLead answers the page's question in a sentence.
func serviceLead(list []instanceRow) phrase {
	well := 0
	for _, i := range list {
		if (i.Dot.Kind == "ok" || i.Dot.Kind == "warm") && !i.Hurt {
			well++
		}
	}
	if len(list) == 0 {
		return say("service.no-instance")
	}
	first := list[0]
	switch {
	case well == len(list):
		return say("service.all-well", "n", well)
	case first.Hurt:
		return say("service.one-fails", "host", first.Host, "share", percent(first.Failed), "well", well,
			"all", len(list))
	}
	return say("service.some-well", "well", well, "all", len(list), "host", first.Host, "state", first.State)
}

// bars draws steps as bars, in a frame of 420 by 60.
func bars(h *recent.Steps, first, last int) (list []stepBar) {
	most := int64(1)
	for _, n := range h {
		most = max(most, n)
	}
	const frame, height = 420, 56
	width := float64(frame) / float64(max(last-first+1, 12))
	for i := first; i <= last; i++ {
		if h[i] == 0 {
			continue
		}
		high := max(height*float64(h[i])/float64(most), 1)
		list = append(list, stepBar{round(float64(i-first) * width), round(width - 1.5), round(high),
			round(height - high), fmt.Sprintf("%s–%s ms: %s", millis(lower(i)), millis(ms(recent.StepBound(i))),
				words.Grouped(h[i]))})
	}
	return list
}

// round is a length of a drawing with one decimal.
func round(v float64) float64 { return math.Round(10*v) / 10 }

func lower(step int) float64 {
	if step == 0 {
		return 0
	}
	return ms(recent.StepBound(step - 1))
}

// edges are the calls between services in the last minute, the worst first.
func (s *snapshot) edges() []edgeRow {
	if s.lines != nil {
		return slices.Clone(s.lines)
	}
	type pair struct{ from, to string }
	key := func(f flow) (pair, bool) {
		return pair{f.Caller, f.Service}, !strings.HasPrefix(f.Service, internalPrefix)
	}
	now, before := tally(s.Flows, key), tally(s.Before, key)
	served := map[pair]bool{}
	for _, f := range s.Flows {
		if f.Served {
			served[pair{f.Caller, f.Service}] = true
		}
	}
	plainText := map[string]bool{}
	for i := range s.Entries {
		if !s.Entries[i].TLS {
			plainText[s.Entries[i].Service] = true
		}
	}
	list := make([]edgeRow, 0, len(now))
	for p, f := range now {
		e := edgeRow{From: p.from, To: p.to, Rate: f.Rate(), Failed: f.Share(), P50: ms(f.P50()), P99: ms(f.P99()),
			Kinds: kinds(f.Kinds), Served: served[p], TLS: !plainText[p.to],
			Worse: compared(*f, of(before, p), len(s.Before) > 0)}
		e.tellSlow(*f, s.usual[e.pair()])
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b edgeRow) int {
		return cmp.Or(cmp.Compare(b.Worse, a.Worse), cmp.Compare(b.Rate*b.Failed, a.Rate*a.Failed),
			compareBool(b.Slow, a.Slow), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return list
}
