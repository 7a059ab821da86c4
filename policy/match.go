package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Match holds the conditions of an item, which must all hold. A condition is a list of values: a text, a prefix
// ("admin*"), or either with "!" in front, which must not be the value. Where values without "!" stand, one of them
// must be the value. A condition without values always holds. What a call does not have is the empty text.
type Match struct {
	Method        []string
	Caller        []string // service of the caller; "ip:10.0.0.9" for a client without a name
	CallerVersion []string
	Zone          []string // of the caller; in a Target, of the instance
	Host          []string // of the callee
	Version       []string // of the callee, as the release has chosen it
	Mark          []string // of the trace: its lane
	Tag           map[string][]string
	Baggage       map[string][]string // W3C baggage; "tenant" is short for baggage: {tenant: …}

	// Only for requests of users, at lanes.
	Header map[string][]string
	Cookie map[string][]string
	Path   []string
	IP     []string

	Percent *int // hundredths of a percent of the traces, 0 to 10,000; nil: all
}

// Request holds the facts of one call. Zero fields are facts that the call does not have.
type Request struct {
	Method, Caller, CallerVersion, Zone, Host, Version, Mark string

	Tags    map[string]string // of the caller's instance
	Baggage string            // the call's W3C baggage header
	Seed    uint64            // of the trace's token, or rollout.SeedOf its trace id
	Seeded  bool              // false: the call has no trace; no percent below 100 holds

	// Of users' requests; nil and empty elsewhere.
	Header, Cookie func(name string) string
	Path, IP       string
}

// pattern is one value of a condition.
type pattern struct {
	text        string
	prefix, not bool
}

func parsePattern(s string) (p pattern) {
	s, p.not = strings.CutPrefix(s, "!")
	p.text, p.prefix = strings.CutSuffix(s, "*")
	return p
}

func (p pattern) has(v string) bool {
	if p.prefix {
		return strings.HasPrefix(v, p.text)
	}
	return p.text == v
}

// covers reports whether every value of q is one of p, without regard to "!".
func (p pattern) covers(q pattern) bool {
	if q.prefix && !p.prefix {
		return false
	}
	return p.has(q.text)
}

// and returns the values that are of both patterns; ok is false without one. Two patterns are nested or disjoint.
func (p pattern) and(q pattern) (both pattern, ok bool) {
	switch {
	case p.covers(q):
		return q, true
	case q.covers(p):
		return p, true
	}
	return pattern{}, false
}

// values is a condition as a set: the values of one of its pieces that are of none of its holes.
type values struct{ pieces, holes []pattern }

func parseValues(list []string) (v values) {
	for _, s := range list {
		if p := parsePattern(s); p.not {
			v.holes = append(v.holes, p)
		} else {
			v.pieces = append(v.pieces, p)
		}
	}
	if len(v.pieces) == 0 {
		v.pieces = []pattern{{prefix: true}}
	}
	return v
}

func covered(p pattern, by []pattern) bool {
	return slices.ContainsFunc(by, func(q pattern) bool { return q.covers(p) })
}

// work bounds the comparisons of patterns in one check, so that no text takes long. It is counted, not timed: every
// process comes to the same verdict. A nil work bounds nothing.
type work struct{ left int }

// compares is the work of a check. A comparison of two items counts as some of patterns.
const (
	compares = 10_000_000
	ofItems  = 16
)

// spend reports whether there is work left for n comparisons.
func (w *work) spend(n int) bool {
	if w == nil {
		return true
	}
	w.left -= n
	return w.left >= 0
}

// meets reports whether a value is in both sets, true also when no work is left.
func (v values) meets(o values, w *work) bool {
	for _, p := range v.pieces {
		if !w.spend(len(o.pieces)) {
			return true
		}
		for _, q := range o.pieces {
			both, ok := p.and(q)
			if !ok {
				continue
			}
			if !w.spend(len(v.holes)+len(o.holes)) || !covered(both, v.holes) && !covered(both, o.holes) {
				return true
			}
		}
	}
	return false
}

// within reports whether every value of v is in o, false also when no work is left. A finite number of narrower pieces
// is not taken for a whole prefix.
func (v values) within(o values, w *work) bool {
	for _, p := range v.pieces {
		if !w.spend(len(v.holes) + len(o.pieces)) {
			return false
		}
		if covered(p, v.holes) {
			continue // it has no value
		}
		if !covered(p, o.pieces) {
			return false
		}
		for _, hole := range o.holes {
			if both, ok := p.and(hole); ok && (!w.spend(len(v.holes)) || !covered(both, v.holes)) {
				return false
			}
		}
	}
	return true
}

// each calls f for every condition that the match has, with its name in the text.
func (m *Match) each(f func(field fieldOf, key string, list []string)) {
	for _, c := range []struct {
		field fieldOf
		list  []string
	}{{byMethod, m.Method}, {byCaller, m.Caller}, {byCallerVersion, m.CallerVersion}, {byZone, m.Zone},
		{byHost, m.Host}, {byVersion, m.Version}, {byMark, m.Mark}, {byPath, m.Path}, {byIP, m.IP}} {
		if len(c.list) > 0 {
			f(c.field, "", c.list)
		}
	}
	for _, c := range []struct {
		field fieldOf
		table map[string][]string
	}{{byTag, m.Tag}, {byCookie, m.Cookie}, {byHeader, m.Header}, {byBaggage, m.Baggage}} {
		for _, key := range slices.Sorted(maps.Keys(c.table)) {
			if len(c.table[key]) > 0 {
				f(c.field, key, c.table[key])
			}
		}
	}
}

// text is the match without its percent, the same for equal conditions in any order of their values.
func (m *Match) text() string {
	var b strings.Builder
	m.each(func(field fieldOf, key string, list []string) {
		b.WriteString(field.name(key) + "=")
		b.WriteString(strings.Join(slices.Sorted(slices.Values(list)), ",") + ";")
	})
	return b.String()
}

// String is the conditions as an operator reads them, such as "caller report, method verify", "" for none.
func (m *Match) String() string {
	var parts []string
	m.each(func(field fieldOf, key string, list []string) {
		parts = append(parts, field.name(key)+" "+strings.Join(list, " or "))
	})
	if m.Percent != nil && *m.Percent < whole {
		parts = append(parts, strconv.FormatFloat(float64(*m.Percent)/(whole/100), 'g', -1, 64)+"%")
	}
	return strings.Join(parts, ", ")
}

type condition struct {
	field fieldOf
	key   string
}

// sets are the conditions of a match as sets, in the order of Match.each.
type sets struct {
	conditions []condition
	values     []values
	part       bool              // of the traces: a percent below 100
	places     map[condition]int // in conditions, where these are many
}

func (m *Match) sets() *sets {
	s := &sets{part: m.Percent != nil && *m.Percent < whole}
	m.each(func(field fieldOf, key string, list []string) {
		s.conditions = append(s.conditions, condition{field, key})
		s.values = append(s.values, parseValues(list))
	})
	if len(s.conditions) > many {
		s.places = make(map[condition]int, len(s.conditions))
		for n, c := range s.conditions {
			s.places[c] = n
		}
	}
	return s
}

// place is where a condition stands, -1 without it.
func (s *sets) place(c condition) int {
	if s.places == nil {
		return slices.Index(s.conditions, c)
	}
	if n, known := s.places[c]; known {
		return n
	}
	return -1
}

// of returns the values of a condition: all without it.
func (s *sets) of(c condition) values {
	if n := s.place(c); n >= 0 {
		return s.values[n]
	}
	return values{pieces: []pattern{{prefix: true}}}
}

// meets reports whether a call can match both, whatever their percents, true also when no work is left.
func (s *sets) meets(o *sets, w *work) bool {
	for n, c := range s.conditions {
		if !s.values[n].meets(o.of(c), w) {
			return false
		}
	}
	for n, c := range o.conditions {
		if s.place(c) < 0 && !o.values[n].meets(s.of(c), w) {
			return false
		}
	}
	return true
}

// within reports whether every call that matches s, which calls can match, matches o, false also when no work is left.
func (s *sets) within(o *sets, w *work) bool {
	if o.part || !w.spend(ofItems) {
		return false
	}
	for n, c := range o.conditions {
		if !s.of(c).within(o.values[n], w) {
			return false
		}
	}
	return true
}

// whole is 100 percent.
const whole = 10_000
