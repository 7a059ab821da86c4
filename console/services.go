package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/rollout"
)

// serviceRow is a service in the list of services.
type serviceRow struct {
	Name     string       `json:"service"`
	Dots     []dot        `json:"-"`
	Well     int          `json:"well"` // instances that get calls
	All      int          `json:"instances"`
	Waiting  int          `json:"waiting"` // listed, and no calls go there by order: drained, weight 0, unreleased
	Versions []versionTag `json:"versions"`
	Zones    []string     `json:"zones"`
	Hosts    []string     `json:"hosts"`
	Rate     float64      `json:"calls_per_s"`
	Failed   float64      `json:"failed_percent"`
	P99      float64      `json:"p99_ms"`
	Calls    int64        `json:"calls"` // of the last minute
	Before   *pastFigures `json:"hour_before,omitempty"`
	Trend    []int64      `json:"calls_of_10s,omitempty"` // of the last 5 minutes, oldest first
	Callers  []string     `json:"called_by"`
	Slow     *edgeRow     `json:"slow,omitempty"` // the calls to it that take most times as long as usual
	Worse    worse        `json:"worse"`          // 0 as usual, 1 a little, 2 much worse than the hour before
	Why      phrase       `json:"-"`              // of what is not as usual, of its instances
}

// pastFigures are those of a minute an hour ago.
type pastFigures struct {
	Rate   float64 `json:"calls_per_s"`
	Failed float64 `json:"failed_percent"`
	P99    float64 `json:"p99_ms"`
}

// versionTag is a version and its share of the users.
type versionTag struct {
	Version string  `json:"version"`
	Share   float64 `json:"share_percent"` // of the new traces; -1: no release decides it
	New     bool    `json:"new,omitempty"`
	Preview bool    `json:"preview,omitempty"` // only verifiers meet it
}

// dot is an instance as a mark in a row.
type dot struct {
	Kind string // ok, warm, warn, bad, off
}

// dotOf is the mark of an instance.
func dotOf(e discovery.Entry) dot {
	switch {
	case e.Standing != "" || e.State == discovery.Drained || e.State == discovery.Excluded || e.Weight == 0:
		return dot{"off"}
	case e.State == discovery.Warming || e.State == discovery.OK && e.Share < 1:
		return dot{"warm"}
	case e.State == discovery.OK:
		return dot{"ok"}
	case e.State == discovery.Gone || e.State == discovery.Ejected || e.State == discovery.Elsewhere:
		return dot{"bad"}
	}
	return dot{"warn"}
}

// internalPrefix begins the names of the framework's own services.
const internalPrefix = "skerry."

// services are the rows of all services, worst first. Callers change nothing in them.
func (s *snapshot) services() []serviceRow {
	if s.rows != nil {
		return s.rows
	}
	byService := func(f flow) (string, bool) { return f.Service, true }
	now, before := tally(s.Flows, byService), tally(s.Before, byService)
	callers := map[string]map[string]bool{}
	for _, f := range s.Flows {
		if callers[f.Service] == nil {
			callers[f.Service] = map[string]bool{}
		}
		callers[f.Service][f.Caller] = true
	}
	rows := map[string]*serviceRow{}
	row := func(name string) *serviceRow {
		if rows[name] == nil {
			rows[name] = &serviceRow{Name: name, Versions: []versionTag{}, Zones: []string{}, Hosts: []string{},
				Callers: []string{}}
		}
		return rows[name]
	}
	for i := range s.Entries {
		e := &s.Entries[i]
		if strings.HasPrefix(e.Service, internalPrefix) {
			continue
		}
		r := row(e.Service)
		r.All++
		d := dotOf(*e)
		r.Dots = append(r.Dots, d)
		switch d.Kind {
		case "ok", "warm":
			r.Well++
		case "off":
			r.Waiting++
		}
		if e.Zone != "" {
			r.Zones = append(r.Zones, e.Zone)
		}
		r.Hosts = append(r.Hosts, hostOf(e.Owner))
		if !slices.ContainsFunc(r.Versions, func(v versionTag) bool { return v.Version == e.Version }) {
			r.Versions = append(r.Versions, s.versionTag(e.Service, e.Version))
		}
	}
	for name := range now {
		if name != "" && !strings.HasPrefix(name, internalPrefix) {
			row(name)
		}
	}
	slowTo := map[string][]edgeRow{}
	for _, e := range s.edges() {
		if e.Slow {
			slowTo[e.To] = append(slowTo[e.To], e)
		}
	}
	list := make([]serviceRow, 0, len(rows))
	for name, r := range rows {
		f := of(now, name)
		r.Calls, r.Rate, r.Failed, r.P99 = f.Calls, f.Rate(), f.Share(), ms(f.P99())
		if len(s.Before) > 0 {
			b := of(before, name)
			r.Before = &pastFigures{b.Rate(), b.Share(), ms(b.P99())}
		}
		r.Trend = s.Trends[name]
		r.Worse = compared(f, of(before, name), len(s.Before) > 0)
		if r.Slow = slowest(slowTo[name]); r.Slow != nil {
			r.Worse = max(r.Worse, r.Slow.Worse)
		}
		r.Zones, r.Hosts = compact(r.Zones), compact(r.Hosts)
		r.Callers = sorted(callers[name])
		slices.SortFunc(r.Versions, func(a, b versionTag) int { return cmp.Compare(a.Version, b.Version) })
		slices.SortFunc(r.Dots, func(a, b dot) int { return cmp.Compare(dotOrder[a.Kind], dotOrder[b.Kind]) })
		switch {
		case r.Well == 0 && r.Waiting < r.All || r.All == 0:
			r.Worse = much
		case r.Well+r.Waiting < r.All:
			r.Worse = max(r.Worse, little)
		}
		list = append(list, *r)
	}
	slices.SortFunc(list, worstService)
	return list
}

// worstService orders services: those without an instance that gets calls first, then by the calls that fail, then by
// how many times their usual latency calls take.
func worstService(a, b serviceRow) int {
	down := func(r serviceRow) bool { return r.Worse == much && r.Well == 0 }
	times := func(r serviceRow) float64 {
		if r.Slow == nil {
			return 0
		}
		return r.Slow.times()
	}
	if a.Worse != b.Worse || a.Worse == usual {
		return cmp.Or(cmp.Compare(b.Worse, a.Worse), cmp.Compare(a.Name, b.Name))
	}
	return cmp.Or(compareBool(down(b), down(a)), cmp.Compare(b.Rate*b.Failed, a.Rate*a.Failed),
		cmp.Compare(times(b), times(a)), cmp.Compare(a.Name, b.Name))
}

var dotOrder = map[string]int{"ok": 0, "warm": 1, "off": 2, "warn": 3, "bad": 4}

// versionTag is the share of a version by the rules of releases.
func (s *snapshot) versionTag(service, version string) versionTag {
	t := versionTag{Version: version, Share: -1}
	rule, ok := s.Rollout.Rules[service]
	if !ok {
		return t
	}
	session := s.Rollout.Session
	if session != nil && !session.Finished() {
		for _, m := range session.Modules {
			if m.Service == service && m.New == version {
				t.New, t.Preview = true, session.Share == 0
			}
		}
	}
	t.Share = 100 * shareOf(rule, version)
	return t
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func compact(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// hostOf is the host of a process host/pid/epoch.
func hostOf(process string) string {
	host, _, _ := strings.Cut(process, "/")
	return host
}

// servicesPage is the list of services.
type servicesPage struct {
	Filter serviceFilter  `json:"-"`
	Total  int            `json:"total"`
	Worse  []serviceRow   `json:"worse"`
	Usual  []serviceRow   `json:"usual"`
	Pager  pager          `json:"-"`
	Counts map[string]int `json:"-"`
	Zones  []string       `json:"-"`
	Hosts  []string       `json:"-"`
	Lead   []phrase       `json:"-"`
	Untold untold         `json:"untold"`
}

// serviceFilter is what the address asks for.
type serviceFilter struct{ State, Zone, Host, Query string }

func (f serviceFilter) matches(r serviceRow) bool {
	switch f.State {
	case "worse":
		if r.Worse == usual {
			return false
		}
	case "down":
		if r.Well > 0 {
			return false
		}
	case "avoided":
		if r.Well+r.Waiting == r.All {
			return false
		}
	case "versions":
		if len(r.Versions) < 2 {
			return false
		}
	}
	return (f.Zone == "" || slices.Contains(r.Zones, f.Zone)) && (f.Host == "" || slices.Contains(r.Hosts, f.Host)) &&
		strings.Contains(strings.ToLower(r.Name), strings.ToLower(f.Query))
}

func (s *snapshot) servicesPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	p := servicesPage{Filter: serviceFilter{q.Get("state"), q.Get("zone"), q.Get("host"), q.Get("q")},
		Counts: map[string]int{}, Untold: s.Untold}
	all := s.services()
	p.Total = len(all)
	var list []serviceRow
	for _, row := range all {
		for _, state := range []string{"worse", "down", "avoided", "versions"} {
			if (serviceFilter{State: state}).matches(row) {
				p.Counts[state]++
			}
		}
		p.Zones, p.Hosts = append(p.Zones, row.Zones...), append(p.Hosts, row.Hosts...)
		if p.Filter.matches(row) {
			list = append(list, row)
		}
	}
	p.Zones, p.Hosts = compact(p.Zones), compact(p.Hosts)
	list, p.Pager = paged(list, r)
	split := len(list)
	for i, row := range list {
		if row.Worse == usual {
			split = i
			break
		}
	}
	p.Worse, p.Usual = list[:split], list[split:]
	p.Lead = s.servicesLead(all)
	return p, nil
}

// servicesLead answers the page's question in a sentence.
func (s *snapshot) servicesLead(all []serviceRow) []phrase {
	bad := 0
	for _, r := range all {
		if r.Worse > usual {
			bad++
		}
	}
	switch {
	case len(all) == 0:
		return []phrase{say("services.none", "cluster", s.Cluster)}
	case bad == 0:
		return []phrase{say("services.all-usual", "n", len(all))}
	}
	first := all[0]
	lead := say("services.first-down", "service", first.Name, "well", first.Well, "all", first.All)
	if first.Well > 0 && first.Failed > 0 {
		lead = say("services.first-fails", "service", first.Name, "share", percent(first.Failed))
	} else if first.Well > 0 && first.Slow != nil {
		lead = say("services.first-slower", "service", first.Name, "caller", callerName(first.Slow.From), "p99",
			millis(first.Slow.P99), "usual", millis(first.Slow.Usual))
	} else if first.Well > 0 && first.Well+first.Waiting == first.All {
		lead = say("services.first-slow", "service", first.Name, "p99", millis(first.P99))
	}
	if rest := len(all) - bad; bad > 1 {
		return []phrase{lead, say("services.more-worse", "n", bad-1, "rest", rest)}
	}
	return []phrase{lead, say("services.others-usual", "n", len(all)-bad)}
}

// shareOf is the part of the new traces that meet a version, by a rule.
func shareOf(r rollout.Rule, version string) float64 {
	part, rest := 0, rollout.Whole
	for _, s := range r.Split {
		rest -= s.PerMyr
		if s.Version == version {
			part += s.PerMyr
		}
	}
	if r.Version == version {
		part += rest
	}
	return float64(part) / rollout.Whole
}
