package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/words"
)

// servicePage answers: which instance fails, since when, and what says so?
type servicePage struct {
	Row       serviceRow    `json:"service"`
	Lead      phrase        `json:"-"`
	Instances []instanceRow `json:"instances"`
	Pager     pager         `json:"-"`
	Methods   []methodRow   `json:"methods"`
	In        []edgeRow     `json:"callers"`
	Out       []edgeRow     `json:"calls"`
	Steps     []stepBar     `json:"-"` // calls by latency
	Steps2    string        `json:"-"`
	Programs  []string      `json:"programs,omitempty"`
}

// instanceRow is one instance of a service.
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
	P99     float64       `json:"p99_ms"`
	Up      time.Duration `json:"-"`
	Owner   string        `json:"process"`
	Sources []string      `json:"listed_by"`
	Callers dot           `json:"-"` // what the callers' counts say
	Hurt    bool          `json:"-"`
}

// methodRow is one method of a service.
type methodRow struct {
	Method string  `json:"method"`
	Rate   float64 `json:"calls_per_s"`
	Failed float64 `json:"failed_percent"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Kinds  string  `json:"failures"`
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
	TLS    bool    `json:"tls"` // every listed instance of the callee has it
	Worse  worse   `json:"-"`
}

// stepBar is one step of a histogram, in parts of the highest.
type stepBar struct {
	X, Height, Y float64
	Label        string
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

func (s *snapshot) servicePage(r *http.Request) (any, error) {
	name := r.PathValue("service")
	i := slices.IndexFunc(s.services(), func(r serviceRow) bool { return r.Name == name })
	if i < 0 {
		return nil, &notFound{say("service.unknown", "service", name)}
	}
	p := servicePage{Row: s.services()[i]}
	at := tally(s.Flows, func(f flow) (string, bool) { return f.Instance, f.Service == name && f.Instance != "" })
	var list []instanceRow
	for _, e := range s.Entries {
		if e.Service == name {
			list = append(list, s.instanceRow(e, of(at, e.Addr)))
		}
	}
	slices.SortFunc(list, func(a, b instanceRow) int {
		return cmp.Or(cmp.Compare(dotOrder[b.Dot.Kind], dotOrder[a.Dot.Kind]), cmp.Compare(b.Failed, a.Failed),
			cmp.Compare(a.Host, b.Host), cmp.Compare(a.Addr, b.Addr))
	})
	p.Lead = serviceLead(list)
	p.Instances, p.Pager = paged(list, r)
	methods := tally(s.Flows, func(f flow) (string, bool) { return f.Method, f.Service == name })
	var all histogram
	for _, m := range sorted(methods) {
		f := methods[m]
		all.Sum(f.Latency)
		p.Methods = append(p.Methods, methodRow{m, f.Rate(), f.Share(), ms(f.P50()), ms(f.P99()), kinds(f.Kinds)})
	}
	slices.SortStableFunc(p.Methods, func(a, b methodRow) int { return cmp.Compare(b.Rate, a.Rate) })
	p.Steps = bars(all)
	for _, e := range s.edges() {
		switch name {
		case e.To:
			p.In = append(p.In, e)
		case e.From:
			p.Out = append(p.Out, e)
		}
	}
	return p, nil
}

func (s *snapshot) instanceRow(e discovery.Entry, f figures) instanceRow {
	row := instanceRow{Host: hostOf(e.Owner), Addr: e.Addr, Version: e.Version, Zone: e.Zone, Dot: dotOf(e),
		State: string(e.State), Why: e.Why, Since: e.Since, Weight: e.Weight, Rate: f.Rate(), Failed: f.Share(),
		P99: ms(f.P99()), Owner: e.Owner, Callers: dot{"ok"}, Hurt: f.Failed > 1 && f.Share() >= badShare}
	if e.Standing != "" {
		row.State += ", " + e.Standing
	}
	if !e.Started.IsZero() {
		row.Up = max(s.At.Sub(e.Started), 0)
	}
	for _, src := range e.Sources {
		row.Sources = append(row.Sources, src.Name)
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

// bars draws a histogram from the first step that has calls to the last.
func bars(h histogram) []stepBar {
	first, last, most := -1, -1, int64(0)
	for i, n := range h {
		if n > 0 {
			if first < 0 {
				first = i
			}
			last, most = i, max(most, n)
		}
	}
	if first < 0 {
		return nil
	}
	var list []stepBar
	width := 420 / float64(last-first+1)
	for i := first; i <= last; i++ {
		height := 88 * float64(h[i]) / float64(most)
		list = append(list, stepBar{float64(i-first) * width, height, 92 - height,
			fmt.Sprintf("%s–%s", millis(lower(i)), millis(ms(bound(i))))})
	}
	return list
}

func lower(step int) float64 {
	if step == 0 {
		return 0
	}
	return ms(bound(step - 1))
}

// edges are the calls between services in the last minute, the worst first.
func (s *snapshot) edges() []edgeRow {
	type pair struct{ from, to string }
	key := func(f flow) (pair, bool) {
		return pair{f.Caller, f.Service}, !strings.HasPrefix(f.Service, internalPrefix)
	}
	now, before := tally(s.Flows, key), tally(s.Before, key)
	plainText := map[string]bool{}
	for i := range s.Entries {
		if !s.Entries[i].TLS {
			plainText[s.Entries[i].Service] = true
		}
	}
	list := make([]edgeRow, 0, len(now))
	for p, f := range now {
		list = append(list, edgeRow{p.from, p.to, f.Rate(), f.Share(), ms(f.P50()), ms(f.P99()), kinds(f.Kinds),
			!plainText[p.to], compared(*f, of(before, p), len(s.Before) > 0)})
	}
	slices.SortFunc(list, func(a, b edgeRow) int {
		return cmp.Or(cmp.Compare(b.Worse, a.Worse), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return list
}
