package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry/postgres"
)

// minute is the calls between services in a minute of the past.
type minute struct {
	At    time.Time // its name, as the slider shows it
	Edges []edgeRow
}

const (
	mostEdges   = 2000            // that are kept of a minute
	storedLimit = 2 * time.Second // for the database
	storedAge   = 3 * time.Minute // until then processes may still write rows of a minute
	keptStored  = 60              // minutes of the database that are remembered
)

// topologyPage answers: which service calls which, and where does a failure begin? Now, or in a minute of the past.
type topologyPage struct {
	Lead    phrase    `json:"-"`
	At      string    `json:"at,omitempty"`     // the minute of the past; "" is now
	Source  string    `json:"source,omitempty"` // console or database
	Missing phrase    `json:"-"`                // why that minute is not known
	Edges   []edgeRow `json:"edges"`
	Shown   []edgeRow `json:"-"`
	Pager   pager     `json:"-"`
	Graph   *graph    `json:"-"` // nil: too many to draw
	Chosen  *edgeRow  `json:"chosen,omitempty"`
	Access  *access   `json:"access,omitempty"` // of the chosen edge, by the policy in force now
	Nodes   int       `json:"services"`
	Idle    bool      `json:"-"` // edges without calls are shown
	Slider  []barOf   `json:"-"`
	Wide    int       `json:"-"` // of the slider, in pixels
	Clock   string    `json:"-"` // what the field of the time shows
	Before  string    `json:"-"` // links of the slider; "" is none
	After   string    `json:"-"`
}

// access is what the policy says of an edge.
type access struct {
	Allowed  bool   `json:"allowed"`
	Enforced bool   `json:"enforced"` // false: a refusal is only counted, or there are no rules of access
	Item     string `json:"item,omitempty"`
	Why      string `json:"why,omitempty"`
}

// barOf is a minute of the slider.
type barOf struct {
	X, Y, Height int
	Class, Link  string
	Clock        string
}

// view is what a drawing shows of the set of edges.
type view struct {
	shown map[[2]string]edgeRow
	rows  map[string]serviceRow
	past  bool
	idle  bool
	query url.Values
}

func (e edgeRow) pair() [2]string { return [2]string{e.From, e.To} }

// in reduces a drawing of the set of edges to those that were called, and adds idle ones if that is asked for. What
// stays keeps its place.
func (v view) in(g *graph) {
	active := map[string]bool{}
	for pair := range v.shown {
		active[pair[0]], active[pair[1]] = true, true
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n node) bool { return !v.idle && !active[n.Name] })
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if v.past {
			n.Dots, n.More, n.Class, n.Figures = nil, 0, "", ""
			if rate, failed := v.called(n.Name); rate > 0 {
				n.Figures = figuresText(rate, failed)
				if failed >= muchShare {
					n.Class = "bad-n"
				}
			}
		}
		if !active[n.Name] {
			n.Class = "idle-n"
		}
	}
	g.Edges = slices.DeleteFunc(g.Edges, func(c curve) bool {
		_, called := v.shown[[2]string{c.From, c.To}]
		return !v.idle && !called
	})
	for i := range g.Edges {
		c := &g.Edges[i]
		if _, called := v.shown[[2]string{c.From, c.To}]; !called {
			c.Class, c.Label = "w1 idle", ""
		}
		c.Link = v.link("from", c.From, "to", c.To)
	}
}

// called are the calls of a service in a minute of the past.
func (v view) called(name string) (rate, failed float64) {
	lost := 0.0
	for _, e := range v.shown {
		if e.To == name {
			rate, lost = rate+e.Rate, lost+e.Rate*e.Failed
		}
	}
	return rate, lost / max(rate, 1e-9)
}

// link is the address of the page with its own values and further ones.
func (v view) link(pairs ...string) string {
	q := url.Values{}
	for _, name := range []string{"at", "idle"} {
		if v.query.Get(name) != "" {
			q.Set(name, v.query.Get(name))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return "/topology"
	}
	return "/topology?" + q.Encode()
}

func (s *snapshot) topologyPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	p := topologyPage{Edges: s.edges(), Idle: q.Get("idle") != ""}
	v := view{shown: map[[2]string]edgeRow{}, rows: map[string]serviceRow{}, idle: p.Idle, query: q}
	union := s.everCalled(p.Edges)
	if at := q.Get("at"); at != "" {
		p.tellPast(r.Context(), s, at)
		v.past = p.At != ""
		union = joined(union, p.Edges)
	}
	for _, row := range s.services() {
		v.rows[row.Name] = row
	}
	for _, e := range p.Edges {
		v.shown[e.pair()] = e
	}
	p.Nodes = len(v.rows)
	if p.Lead = topologyLead(p.Edges); p.Missing.Key != "" {
		p.Lead = p.Missing
	}
	names := map[string]bool{}
	for _, e := range union {
		names[e.From], names[e.To] = true, true
	}
	if len(names) > 0 && len(names) <= nodesDrawn {
		for i, e := range union {
			if called, is := v.shown[e.pair()]; is {
				union[i] = called
			}
		}
		p.Graph = drawn(union, v.rows)
		v.in(p.Graph)
	}
	rows := slices.Clone(p.Edges)
	for _, e := range union {
		if _, active := v.shown[e.pair()]; p.Idle && !active {
			rows = append(rows, e)
		}
	}
	for i, e := range rows {
		if e.From == q.Get("from") && e.To == q.Get("to") && q.Has("to") {
			p.Chosen, p.Access = &rows[i], s.accessOf(e)
		}
	}
	p.slider(s, v)
	p.Shown, p.Pager = paged(rows, r)
	return p, nil
}

// everCalled is the set of the edges of the last hour and of now, without figures: the graph is laid out by it.
func (s *snapshot) everCalled(now []edgeRow) []edgeRow {
	all := joined(nil, now)
	for _, m := range s.Minutes {
		all = joined(all, m.Edges)
	}
	return all
}

// joined is a set of edges in order, without figures.
func joined(set, more []edgeRow) []edgeRow {
	seen := make(map[[2]string]bool, len(set))
	for _, e := range set {
		seen[e.pair()] = true
	}
	n := len(set)
	for _, e := range more {
		if !seen[e.pair()] {
			seen[e.pair()] = true
			set = append(set, edgeRow{From: e.From, To: e.To, TLS: e.TLS})
		}
	}
	if len(set) > n {
		slices.SortFunc(set, func(a, b edgeRow) int {
			return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
		})
	}
	return set
}

// minuteOf reads a time of the slider: 02:10 is the last time that a clock showed this, 2026-11-30 02:10 that minute.
func minuteOf(text string, now time.Time) (time.Time, error) {
	now = now.Local()
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		return at, errors.New("want a time such as 02:10 or 2026-11-30 02:10")
	}
	at = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, now.Location())
	if at.After(now) {
		at = at.AddDate(0, 0, -1)
	}
	return at, nil
}

// tellPast shows a minute of the past in place of now.
func (p *topologyPage) tellPast(ctx context.Context, s *snapshot, text string) {
	p.Edges = []edgeRow{}
	at, err := minuteOf(text, s.At)
	if err != nil {
		p.Missing = say("topology.no-time", "time", text)
		return
	}
	p.At, p.Clock = at.Format("2006-01-02 15:04"), at.Format("15:04")
	for _, m := range s.Minutes {
		if m.At.Local().Format("2006-01-02 15:04") == p.At {
			p.Edges, p.Source = slices.Clone(m.Edges), "console"
			return
		}
	}
	switch {
	case at.After(s.At):
		p.Missing = say("topology.later")
	case s.stored == nil:
		p.Missing = say("topology.not-kept", "time", p.Clock, "since", stampText(s.Begun, s.At))
	default:
		p.Source = "database"
		if p.Edges, err = s.stored(ctx, at); err != nil {
			p.Edges, p.Missing = []edgeRow{}, say("topology.not-read", "why", err)
		} else if len(p.Edges) == 0 {
			p.Missing = say("topology.nothing-then", "time", p.At)
		}
	}
}

const (
	barWidth, barHeight = 10, 34
)

// slider is the last hour, a bar for each minute that leads to it.
func (p *topologyPage) slider(s *snapshot, v view) {
	p.Wide = len(s.Minutes) * barWidth
	most := 0.0
	rates, bad := make([]float64, len(s.Minutes)), make([]bool, len(s.Minutes))
	for i, m := range s.Minutes {
		for _, e := range m.Edges {
			rates[i] += e.Rate
			bad[i] = bad[i] || e.Failed >= badShare
		}
		most = max(most, rates[i])
	}
	for i, m := range s.Minutes {
		clock := m.At.Local().Format("15:04")
		height := 3
		if most > 0 {
			height += int(rates[i] / most * (barHeight - 3))
		}
		b := barOf{X: i * barWidth, Y: barHeight - height, Height: height, Clock: clock,
			Link: v.link("at", clock)}
		if bad[i] {
			b.Class = "bad-b"
		}
		if p.At != "" && clock == p.Clock {
			b.Class += " sel"
		}
		b.Class = strings.TrimSpace(b.Class)
		p.Slider = append(p.Slider, b)
	}
	if p.At != "" {
		at, _ := time.ParseInLocation("2006-01-02 15:04", p.At, time.Local)
		p.Before = v.link("at", at.Add(-time.Minute).Format("2006-01-02 15:04"))
		if after := at.Add(time.Minute); after.Before(s.At) {
			p.After = v.link("at", after.Format("2006-01-02 15:04"))
		}
		return
	}
	if n := len(s.Minutes); n > 0 {
		p.Before = v.link("at", s.Minutes[n-1].At.Local().Format("15:04"))
	}
}

// accessOf is what the policy in force says of calls over an edge, nil without a policy that can be read.
func (s *snapshot) accessOf(e edgeRow) *access {
	if s.Policy.Current.Number == 0 {
		return nil
	}
	text, _, err := form.Understand([]byte(s.Policy.Current.Text))
	if err != nil {
		return nil
	}
	for _, on := range s.Policy.Current.On {
		text.On = append(text.On, policy.On{Name: on.Name})
	}
	q := policy.Request{Caller: e.From}
	allowed, enforced, by := policy.Compile(text, nil, 0).Rules(e.To, "").Access(&q)
	a := &access{Allowed: allowed, Enforced: enforced}
	if by != nil {
		a.Item, a.Why = by.Key, by.Why
	}
	return a
}

// stored remembers minutes that were read in the database.
type stored struct {
	once sync.Mutex // held while the database is asked
	kept map[time.Time][]edgeRow
}

// storedEdges reads the calls of a minute in the statistics of the site's database: callees have counted them.
func (l *live) storedEdges(ctx context.Context, at time.Time) ([]edgeRow, error) {
	if !l.stored.once.TryLock() {
		return nil, errors.New("another minute is being read at this moment; try again")
	}
	defer l.stored.once.Unlock()
	if edges, known := l.stored.kept[at]; known {
		return edges, nil
	}
	db := l.cfg.Node.Membership().Database()
	ctx, cancel := context.WithTimeout(ctx, storedLimit)
	defer cancel()
	now := time.Now()
	stats, err := db.Stats(ctx, postgres.StatQuery{Since: now.Sub(at), Until: now.Sub(at.Add(time.Minute)),
		ByPeer: true})
	if err != nil {
		return nil, err
	}
	edges := edgesOf(stats)
	if now.Sub(at) > storedAge {
		if l.stored.kept == nil || len(l.stored.kept) >= keptStored {
			l.stored.kept = map[time.Time][]edgeRow{}
		}
		l.stored.kept[at] = edges
	}
	return edges, nil
}

// callerOf is a caller as the page of now names it.
func callerOf(peer string) string {
	if _, err := netip.ParseAddr(peer); err == nil {
		return "ip:" + peer
	}
	return peer
}

// edgesOf adds statistics up by caller and service. Rows of callees name the caller's service, or its IP address. A
// service that counts nothing itself, such as one that speaks HTTP, has the rows of its callers: users behind gateways
// are from outside, and rows name no other caller.
func edgesOf(stats []postgres.Stat) []edgeRow {
	type sum struct {
		calls, failed  int64
		rate, p50, p99 float64
		outcomes       map[string]int64
	}
	sums := map[[2]string]*sum{}
	counts := map[string]bool{}
	for i := range stats {
		if stats[i].Side == health.Server.String() {
			counts[stats[i].Service] = true
		}
	}
	for i := range stats {
		st := &stats[i]
		served := st.Side == health.Server.String()
		if !served && counts[st.Service] || strings.HasPrefix(st.Service, internalPrefix) || st.Calls == 0 {
			continue
		}
		k := [2]string{"", st.Service}
		if served {
			k[0] = callerOf(st.Peer)
		}
		m := sums[k]
		if m == nil {
			m = &sum{outcomes: map[string]int64{}}
			sums[k] = m
		}
		m.calls += st.Calls
		m.failed += st.Failures
		m.rate += float64(st.Calls) / max(st.Last.Sub(st.First), time.Minute).Seconds()
		m.p50 += ms(st.P50) * float64(st.Calls)
		m.p99 = max(m.p99, ms(st.P99))
		for o, n := range st.Outcomes {
			if outcome := health.Outcome(o); n > 0 && outcome.Failed() {
				m.outcomes[outcome.String()] += n
			}
		}
	}
	list := make([]edgeRow, 0, len(sums))
	for k, m := range sums {
		list = append(list, edgeRow{From: k[0], To: k[1], Rate: m.rate, Failed: 100 * float64(m.failed) /
			float64(m.calls), P50: m.p50 / float64(m.calls), P99: m.p99, Kinds: kinds(m.outcomes),
			Served: counts[k[1]]})
	}
	slices.SortFunc(list, func(a, b edgeRow) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return list[:min(len(list), mostEdges)]
}
