package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/registry"
)

// item checks the fields of one item.
func (c *checker) item(i *Item) {
	c.match(i)
	if i.Expires < 0 {
		c.add(i.Key+".expires", `"none" is not possible; leave the key out for no end`)
	}
	must := i.Kind == faults || i.Kind == mirror || i.Kind == fallback && slices.Contains(i.On, always)
	switch {
	case must && i.Expires == 0:
		c.add(i.Key, "it must end by itself: add expires, at most 24h, such as expires: 30m")
	case must && i.Expires > longestExpiry:
		c.add(i.Key+".expires", "%v is too long: what is made to disturb calls ends after 24h at most", i.Expires)
	}
	switch i.Kind {
	case route:
		c.route(i)
	case limits:
		c.limit(i)
	case fallback:
		c.fallback(i)
	case faults:
		c.fault(i)
	case mirror:
		if i.To.Mark == "" {
			c.add(i.Key, "to: {mark: NAME} says which lane the copies take; it is missing")
		}
	case weights:
		if i.To.empty() {
			c.add(i.Key, "it names no instance: add host, zone or tag")
		}
		if i.Weight < 0 || i.Weight > registry.MaxWeight {
			c.add(i.Key+".weight", "%d is not in 0..%d", i.Weight, registry.MaxWeight)
		}
		c.target(i)
	case lanes:
		c.name(i.Key, "the mark of the lane", i.Gets)
	}
}

func (c *checker) route(i *Item) {
	if i.To.empty() {
		c.add(i.Key, "to says nowhere: add to: {zone: …}, {host: …} or {tag: {…}}")
	}
	switch i.Else {
	case "all", "none":
	case "":
		c.add(i.Key, "else is missing: else: all lets calls go to the other instances when none is there, else: "+
			"none lets them fail (no_instance)")
	default:
		c.add(i.Key+".else", "%q is none of all, none%s", i.Else, suggest.DidYouMean(i.Else, []string{"all", "none"}))
	}
	c.target(i)
}

func (c *checker) limit(i *Item) {
	if i.Pending == 0 && i.Rate == 0 {
		c.add(i.Key, "it limits nothing: add pending (calls at a time) or rate (calls a second)")
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"pending", i.Pending}, {"rate", i.Rate}, {"burst", i.Burst}} {
		if n.value < 0 || n.value > 10_000_000 {
			c.add(i.Key+"."+n.name, "%d is not in 1..10000000", n.value)
		}
	}
	if i.Burst > 0 && i.Rate == 0 {
		c.add(i.Key+".burst", "burst belongs to rate, which is missing")
	}
	switch i.Per {
	case "instance", "site":
	case "":
		c.add(i.Key, "per is missing: per: instance is the limit of each instance, per: site the limit of all "+
			"together, divided by the living ones")
	default:
		c.add(i.Key+".per", "%q is none of instance, site%s",
			i.Per, suggest.DidYouMean(i.Per, []string{"instance", "site"}))
	}
}

func (c *checker) fallback(i *Item) {
	if len(i.On) == 0 {
		c.add(i.Key, "on is missing: the failures after which the reply is given, such as on: [timeout, breaker_open]")
	}
	for _, code := range i.On {
		if c.full() {
			return
		}
		if code != always && !slices.Contains(codes, code) {
			c.add(i.Key+".on", "%q is none of always, %s%s", code, strings.Join(codes, ", "),
				suggest.DidYouMean(code, append([]string{always}, codes...)))
		}
	}
	if len(i.Reply) == 0 {
		c.add(i.Key, "reply is missing: the fields of the reply, such as reply: {url: \"\"}")
	}
}

func (c *checker) fault(i *Item) {
	if i.Delay == 0 && i.Error == "" {
		c.add(i.Key, "it does nothing: add delay or error")
	}
	if i.Delay < 0 || i.Delay > maxDelay {
		c.add(i.Key+".delay", "%v is not in 1ms..%v", i.Delay, maxDelay)
	}
	if i.Error != "" && !slices.Contains(faultCodes, i.Error) {
		c.add(i.Key+".error", "%q is none of %s%s", i.Error, strings.Join(faultCodes, ", "),
			suggest.DidYouMean(i.Error, faultCodes))
	}
}

// target checks the conditions on instances.
func (c *checker) target(i *Item) {
	m := i.To.match()
	if s := m.sets(); !s.meets(s, c.work) {
		c.add(i.Key, "no instance can match it: a value stands there both with and without \"!\"")
	}
	m.each(func(f fieldOf, key string, list []string) { c.values(i.Key, f.name(key), list) })
}

// match checks the conditions of an item.
func (c *checker) match(i *Item) {
	at := i.Key + ".match"
	if i.Kind == allow || i.Kind == deny {
		at = i.Key // their conditions stand in them directly
	}
	if s := i.Match.sets(); !s.meets(s, c.work) {
		c.add(at, "no call can match it: a value stands there both with and without \"!\"")
	}
	i.Match.each(func(f fieldOf, key string, list []string) {
		name := f.name(key)
		c.values(at, name, list)
		switch {
		case (f == byHeader || f == byCookie || f == byPath || f == byIP) && i.Kind != lanes:
			c.add(at+"."+name, "headers, cookies, paths and addresses of users are known at roots only: give such "+
				"traces a mark by an entry in lanes, and match: {mark: NAME} here")
		case f == byHost && (i.Kind == route || i.Kind == faults || i.Kind == mirror):
			c.add(at+"."+name, "the callee's host is not known before a call is sent, so no call has one here; "+
				"weights name hosts, and so does to of a route")
		case f == byPath && i.Kind == lanes && !paths(list):
			c.add(at+"."+name, "a path begins with /, so no request has such a one")
		case f == byIP && i.Kind == lanes && strings.Contains(strings.Join(list, ""), "/"):
			c.add(at+"."+name, "an address is compared as a text, and has no /; write the beginning that all have, "+
				"such as 10.1.*")
		case (f == byCaller || f == byCallerVersion || f == byMark || f == byVersion || f == byHost) && i.Kind == lanes:
			c.add(at+"."+name, "a lane begins with a user's request, which has none; match header, cookie, path, ip, "+
				"method, tenant or percent")
		}
	})
	if p := i.Match.Percent; p != nil {
		if i.Kind.Protective() {
			c.add(at+".percent", "%s holds for every call, as the callee can't leave calls out by chance; take "+
				"percent out", i.Kind)
		} else if *p < 0 || *p > whole {
			c.add(at+".percent", "%s is not in 0..100", percentText(*p))
		}
	}
}

// paths reports whether paths can have such values.
func paths(list []string) bool {
	return !slices.ContainsFunc(list, func(v string) bool {
		text := parsePattern(v).text
		return text != "" && text[0] != '/'
	})
}

// values checks the values of one condition.
func (c *checker) values(at, name string, list []string) {
	if len(list) > maxValues {
		c.add(at+"."+name, "%d values, at most %d are allowed", len(list), maxValues)
	}
	for _, v := range list {
		if c.full() {
			return
		}
		p := parsePattern(v)
		switch {
		case len(v) > maxText:
			c.add(at+"."+name, "%.20q… has %d bytes, at most %d are allowed", v, len(v), maxText)
		case strings.Contains(p.text, "*"):
			c.add(at+"."+name, "%s: * stands at the end only, for a prefix", strconv.Quote(v))
		case p.text == "" && p.prefix && p.not:
			c.add(at+"."+name, "%s: it matches nothing", strconv.Quote(v))
		}
	}
}
