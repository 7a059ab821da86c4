package policy

import (
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/rollout"
)

// fieldOf is the fact of a request that a condition is about.
type fieldOf uint8

const (
	byMethod fieldOf = iota
	byCaller
	byCallerVersion
	byZone
	byHost
	byVersion
	byMark
	byPath
	byIP
	byTag
	byCookie
	byHeader
	byBaggage
)

// name is the field as the text of a policy has it.
func (f fieldOf) name(key string) string {
	name := [...]string{"method", "caller", "caller_version", "zone", "host", "version", "mark", "path", "ip", "tag",
		"cookie", "header", "baggage"}[f]
	if key != "" {
		name += "." + key
	}
	return name
}

// many is the number of texts of a condition from which a map is quicker than a comparison with each.
const many = 8

// cond is a compiled condition.
type cond struct {
	field fieldOf
	free  bool // there is no value without "!"
	key   string
	exact []string
	more  *moreValues // nil: exact is all
}

type moreValues struct {
	set      map[string]struct{} // of exact, when these are many
	prefixes []string
	not      []pattern
}

func newCond(field fieldOf, key string, list []string) cond {
	c := cond{field: field, key: key}
	var more moreValues
	for _, s := range list {
		switch p := parsePattern(s); {
		case p.not:
			more.not = append(more.not, p)
		case p.prefix:
			more.prefixes = append(more.prefixes, p.text)
		default:
			c.exact = append(c.exact, p.text)
		}
	}
	c.free = len(c.exact)+len(more.prefixes) == 0
	if len(c.exact) > many {
		more.set = make(map[string]struct{}, len(c.exact))
		for _, s := range c.exact {
			more.set[s] = struct{}{}
		}
	}
	if more.set != nil || len(more.prefixes)+len(more.not) > 0 {
		c.more = &more
	}
	return c
}

// named reports whether the condition holds for the texts of exact alone.
func (c *cond) named() bool { return !c.free && (c.more == nil || len(c.more.prefixes) == 0) }

// has reports whether the condition holds for a value.
func (c *cond) has(v string) bool {
	if c.more == nil {
		return slices.Contains(c.exact, v)
	}
	if !c.free && !c.listed(v) {
		return false
	}
	for i := range c.more.not {
		if c.more.not[i].has(v) {
			return false
		}
	}
	return true
}

func (c *cond) listed(v string) bool {
	if c.more.set != nil {
		if _, ok := c.more.set[v]; ok {
			return true
		}
	} else if slices.Contains(c.exact, v) {
		return true
	}
	for _, p := range c.more.prefixes {
		if strings.HasPrefix(v, p) {
			return true
		}
	}
	return false
}

// of reports whether the condition holds for a request.
func (c *cond) of(q *Request) bool {
	switch c.field {
	case byMethod:
		return c.has(q.Method)
	case byCaller:
		return c.has(q.Caller)
	case byCallerVersion:
		return c.has(q.CallerVersion)
	case byZone:
		return c.has(q.Zone)
	case byHost:
		return c.has(q.Host)
	case byVersion:
		return c.has(q.Version)
	case byMark:
		return c.has(q.Mark)
	case byPath:
		return c.has(q.Path)
	case byIP:
		return c.has(q.IP)
	case byTag:
		return c.has(q.Tags[c.key])
	case byCookie:
		return c.has(askRoot(q.Cookie, c.key))
	case byHeader:
		return c.has(askRoot(q.Header, c.key))
	}
	return c.baggage(q.Baggage)
}

// value is the fact that the condition is about, for explanations.
func (c *cond) value(q *Request) string {
	switch c.field {
	case byTag:
		return q.Tags[c.key]
	case byCookie:
		return askRoot(q.Cookie, c.key)
	case byHeader:
		return askRoot(q.Header, c.key)
	case byBaggage:
		raw, _ := findBaggage(q.Baggage, c.key)
		return raw
	}
	return [...]string{q.Method, q.Caller, q.CallerVersion, q.Zone, q.Host, q.Version, q.Mark, q.Path, q.IP}[c.field]
}

func askRoot(of func(string) string, key string) string {
	if of == nil {
		return ""
	}
	return of(key)
}

// longestBaggage is the longest value of baggage that is decoded, in bytes. A longer one matches as it came.
const longestBaggage = 256

// baggage reports whether the condition holds for the value of its key. Values are percent-encoded in the header.
func (c *cond) baggage(header string) bool {
	raw, encoded := findBaggage(header, c.key)
	if !encoded || len(raw) > longestBaggage {
		return c.has(raw)
	}
	var buf [longestBaggage]byte
	n := 0
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		if b == '%' && i+2 < len(raw) {
			if hi, lo := unhex(raw[i+1]), unhex(raw[i+2]); hi < 16 && lo < 16 {
				b, i = hi<<4|lo, i+2
			}
		}
		buf[n] = b
		n++
	}
	return c.hasBytes(buf[:n])
}

// hasBytes is has without an allocation.
func (c *cond) hasBytes(v []byte) bool {
	listed := c.free
	for i := 0; i < len(c.exact) && !listed; i++ {
		listed = c.exact[i] == string(v)
	}
	if c.more == nil {
		return listed
	}
	for i := 0; i < len(c.more.prefixes) && !listed; i++ {
		listed = hasPrefix(v, c.more.prefixes[i])
	}
	for i := 0; i < len(c.more.not) && listed; i++ {
		if p := c.more.not[i]; p.prefix {
			listed = !hasPrefix(v, p.text)
		} else {
			listed = p.text != string(v)
		}
	}
	return listed
}

func hasPrefix(v []byte, p string) bool { return len(v) >= len(p) && string(v[:len(p)]) == p }

func unhex(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10
	}
	return 255
}

// findBaggage returns the value of a key in a W3C baggage header, as it stands there; the first one of several.
func findBaggage(header, key string) (raw string, encoded bool) {
	for header != "" {
		member := header
		if i := strings.IndexByte(header, ','); i >= 0 {
			member, header = header[:i], header[i+1:]
		} else {
			header = ""
		}
		i := strings.IndexByte(member, '=')
		if i < 0 || trim(member[:i]) != key {
			continue
		}
		raw = member[i+1:]
		if j := strings.IndexByte(raw, ';'); j >= 0 { // properties of the member
			raw = raw[:j]
		}
		raw = trim(raw)
		return raw, strings.IndexByte(raw, '%') >= 0
	}
	return "", false
}

func trim(s string) string {
	if s == "" || s[0] > ' ' && s[len(s)-1] > ' ' {
		return s
	}
	return strings.Trim(s, " \t")
}

// rule is an item in the form in which calls are matched with it.
type rule struct {
	item  *Item
	conds []cond
	hash  uint64 // of the item's identity
	share uint32 // of 10,000 traces
}

func newRule(i *Item) *rule {
	r := &rule{item: i, share: whole}
	i.Match.each(func(f fieldOf, key string, list []string) { r.conds = append(r.conds, newCond(f, key, list)) })
	r.conds = slices.Clip(r.conds)
	if p := i.Match.Percent; p != nil && *p < whole {
		r.share, r.hash = uint32(max(*p, 0)), rollout.SeedOf(i.identity())
	}
	return r
}

// matches reports whether all conditions of the item hold.
func (r *rule) matches(q *Request) bool {
	for c := range r.conds {
		if !r.conds[c].of(q) {
			return false
		}
	}
	return r.share == whole || q.Seeded && drawn(q.Seed, r.hash) < r.share
}

// drawn is the place of a trace among 10,000 for one item. It never depends on the item's percent.
func drawn(seed, hash uint64) uint32 {
	x := seed ^ hash
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return uint32(((x >> 32) * whole) >> 32)
}

// Picks reports whether an instance is at the target of the item. host is the name of the instance's host.
func (i *Item) Picks(zone, host string, tags map[string]string) bool {
	if !listHas(i.To.Zone, zone) || !listHas(i.To.Host, host) {
		return false
	}
	for key, list := range i.To.Tag {
		if !listHas(list, tags[key]) {
			return false
		}
	}
	return true
}

// listHas reports whether a condition holds for a value.
func listHas(list []string, v string) bool {
	listed, free := false, true
	for _, s := range list {
		p := parsePattern(s)
		if p.not && p.has(v) {
			return false
		}
		if !p.not {
			free = false
			listed = listed || p.has(v)
		}
	}
	return listed || free
}
