package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/registry"
)

// Finding is one thing that is wrong with a policy.
type Finding struct {
	Key  string // place in the text, such as services.auth.limits[1]
	Text string // what is wrong, and the cure
	Note bool   // it may be meant so; the policy can be applied
}

// Bounds of a policy.
const (
	longestExpiry = 24 * time.Hour         // of what must expire
	connectTime   = 500 * time.Millisecond // calls.connect_timeout of a process that says nothing
	maxItems      = 50_000
	maxValues     = 1_000 // of one condition
	maxText       = 256   // bytes of a value
	maxDelay      = time.Minute
)

// codes are the failures that a fallback may be for, in the names of package rpc. timeout is short for
// deadline_exceeded.
var codes = []string{"no_instance", "unreachable", "connection_lost", "timeout", "overloaded", "draining",
	"breaker_open", "limit_exceeded", "unknown_service", "unknown_method", "bad_message", "handler_failed",
	"handler_panicked", "version_unavailable"}

// faultCodes are the failures that a fault may cause: those that a caller can meet from a callee. unavailable is a
// failure of which the caller does not know whether the call was executed.
var faultCodes = []string{"unavailable", "unreachable", "connection_lost", "timeout", "overloaded", "handler_failed"}

// always is the code of a fallback that answers every call before it is sent.
const always = "always"

// Check returns what is wrong with a policy by itself: impossible values, contradictions, items that can never apply,
// and what must expire and does not. Findings are in the order of their keys.
func Check(p *Policy) []Finding {
	c := &checker{p: p}
	if n := p.Items(); n > maxItems {
		c.add("services", "%d items, at most %d are allowed", n, maxItems)
		return c.found
	}
	for _, name := range sortedServices(p.Services) {
		c.service("services."+name, name, p.Services[name])
	}
	c.list("lanes", lanes, p.Lanes)
	for _, name := range slices.Sorted(maps.Keys(p.Plans)) {
		c.name("plans."+name, "the plan's name", name)
		for _, s := range sortedServices(p.Plans[name].Services) {
			c.service("plans."+name+".services."+s, s, p.Plans[name].Services[s])
		}
	}
	for _, on := range p.On {
		if p.Plans[on.Name] == nil {
			c.add("plans", "the plan %s is switched on, and the text has none of that name", on.Name)
		}
	}
	return c.found
}

type checker struct {
	p     *Policy
	found []Finding
}

func (c *checker) add(key, format string, args ...any) {
	c.found = append(c.found, Finding{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) note(key, format string, args ...any) {
	c.found = append(c.found, Finding{Key: key, Text: fmt.Sprintf(format, args...), Note: true})
}

func (c *checker) name(key, what, name string) {
	if err := registry.CheckName(what, name); err != nil {
		c.add(key, "%s", strings.TrimPrefix(err.Error(), registry.ErrInvalid.Error()+": "))
	}
}

func (c *checker) service(key, name string, s *Service) {
	switch {
	case name == internal:
		c.add(key, "%s is the framework's own service, which no policy touches: take it out", internal)
		return
	case name != Every:
		c.name(key, "the service's name", name)
	}
	idempotent := c.idempotent(name, s)
	c.settings(key, &s.Settings, s.over(c.base(name)))
	if name == Every && slices.Contains(s.Idempotent, "*") {
		c.add(key+".idempotent", "this would let every method of every service be executed twice, after a retry; name "+
			"the methods, at their services")
	}
	for _, method := range slices.Sorted(maps.Keys(s.Methods)) {
		m, at := s.Methods[method], key+".methods."+method
		switch {
		case name == Every:
			c.add(at, "methods stand at the service that has them, not at %q", Every)
			continue
		case !methodName(method):
			c.add(at, "%q is no name of a method; write its name in full, and what holds for all methods at the "+
				"service", method)
			continue
		}
		c.settings(at, &m, m.over(s.over(c.base(name))))
		if m.Retries != nil && *m.Retries > 0 && !has(idempotent, method) {
			c.note(at+".retries", "%s is not declared idempotent here, so only calls that were not executed are tried "+
				"again; a policy can't change that: if the method may be executed twice, add it to %s.idempotent",
				method, key)
		}
	}
	for _, k := range kinds {
		var items []Item
		for _, i := range s.Items {
			if i.Kind == k {
				items = append(items, i)
			}
		}
		c.list(key, k, items)
	}
	c.access(key, s)
	c.mirrors(s, idempotent)
}

// methodName reports whether a text is an identifier of Thrift.
func methodName(s string) bool {
	for i, b := range []byte(s) {
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_'
		if !letter && (i == 0 || b < '0' || b > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// base is what a service's own settings stand over.
func (c *checker) base(service string) Settings {
	if every := c.p.Services[Every]; every != nil && service != Every {
		return every.Settings
	}
	return Settings{}
}

// idempotent are the methods of a service that may be executed twice, as far as the policy says it.
func (c *checker) idempotent(name string, s *Service) []string {
	if s.Idempotent != nil {
		return s.Idempotent
	}
	if own := c.p.Services[name]; own != nil {
		return own.over(c.base(name)).Idempotent
	}
	return c.base(name).Idempotent
}

func has(list []string, name string) bool {
	return slices.Contains(list, name) || slices.Contains(list, "*")
}

// settings checks what stands at one place. all are the settings that then hold there.
func (c *checker) settings(key string, s *Settings, all Settings) {
	within := func(name string, n *int, least, most int) {
		if n != nil && (*n < least || *n > most) {
			c.add(key+"."+name, "%d is not in %d..%d", *n, least, most)
		}
	}
	within("retries", s.Retries, 0, 10)
	within("max_pending", s.MaxPending, 0, 1_000_000)
	within("max_rate", s.MaxRate, 0, 10_000_000)
	within("breaker.ratio", s.BreakerRatio, 1, 100)
	within("breaker.calls", s.BreakerCalls, 1, 1_000_000)
	within("outlier.failures", s.OutlierFailures, 1, 1_000)
	within("outlier.max_ejected", s.OutlierMaxEjected, 0, 100)
	least := func(name string, d *time.Duration, least time.Duration, none bool) {
		switch {
		case d == nil || *d < 0 && none || *d >= least:
		case *d < 0:
			c.add(key+"."+name, `"none" is not possible here; give a duration of %v or more`, least)
		default:
			c.add(key+"."+name, "%v is too short, at least %v", *d, least)
		}
	}
	least("timeout", s.Timeout, time.Millisecond, false)
	least("attempt_timeout", s.AttemptTimeout, time.Millisecond, false)
	least("wait", s.Wait, time.Millisecond, true)
	least("breaker.window", s.BreakerWindow, time.Second, false)
	least("outlier.eject", s.OutlierEject, time.Second, false)
	if b := s.Balancer; b != nil && *b != "p2c" && *b != "round-robin" && *b != "hash" {
		c.add(key+".balancer", "%q is none of p2c, round-robin, hash%s", *b,
			suggest.DidYouMean(*b, []string{"p2c", "round-robin", "hash"}))
	}
	if all.Timeout == nil {
		return
	}
	if s.Timeout != nil && *s.Timeout > 0 && *s.Timeout < connectTime {
		c.note(key+".timeout", "%v is shorter than calls.connect_timeout of a process that says nothing (%v): a call "+
			"that needs a new connection may use all its time for an instance that is dead", *s.Timeout, connectTime)
	}
	if all.AttemptTimeout != nil && (s.Timeout != nil || s.AttemptTimeout != nil) &&
		*all.AttemptTimeout >= *all.Timeout {
		at := key + ".attempt_timeout"
		if s.AttemptTimeout == nil {
			at = key + ".timeout"
		}
		c.add(at, "an attempt may take %v (attempt_timeout) and the whole call %v (timeout), so no attempt ever ends "+
			"before its call; make attempt_timeout the shorter one", *all.AttemptTimeout, *all.Timeout)
	}
}

// list checks the items of one kind.
func (c *checker) list(key string, k Kind, items []Item) {
	seen := map[string]string{}
	for n := range items {
		i := &items[n]
		c.item(i)
		if i.Name != "" {
			if other, twice := seen[i.Name]; twice {
				c.add(i.Key+".name", "%q is the name of %s already", i.Name, other)
			}
			seen[i.Name] = i.Key
		}
	}
	if k == weights {
		c.weights(items)
		return
	}
	if k != limits && k != deny {
		c.shadowed(items)
	}
}

// shadowed finds items that can never apply, because an item before them matches every call that they match.
func (c *checker) shadowed(items []Item) {
	seen := map[string]int{} // first items by their conditions, for lists of thousands
	for n := range items {
		i := &items[n]
		text := i.Match.text()
		if before, same := seen[text]; same && i.hiddenBy(&items[before]) {
			c.hidden(i, &items[before])
			continue
		}
		if _, same := seen[text]; !same {
			seen[text] = n
		}
		if len(items) > maxCompared {
			continue // the identical ones are found above
		}
		for before := range n {
			if i.hiddenBy(&items[before]) {
				c.hidden(i, &items[before])
				break
			}
		}
	}
}

// maxCompared is the longest list in which every item is compared with all before it.
const maxCompared = 500

// hiddenBy reports whether the item can't apply while the other one, which stands before it, does, and does so always.
func (i *Item) hiddenBy(o *Item) bool {
	if o.Expires != 0 && (i.Expires == 0 || i.Expires > o.Expires) {
		return false
	}
	if i.Kind == fallback && slices.ContainsFunc(i.On, func(code string) bool { return !slices.Contains(o.On, code) }) {
		return false
	}
	return i.Match.within(&o.Match)
}

func (c *checker) hidden(i, by *Item) {
	c.add(i.Key, "it never applies: %s stands before it and matches every call that it matches; move it in front, or "+
		"take it out", by.Key)
}

// weights finds two weights that an instance could have at once.
func (c *checker) weights(items []Item) {
	for n := range items[:min(len(items), maxCompared)] {
		for before := range n {
			a, b := &items[before], &items[n]
			am, bm := a.To.match(), b.To.match()
			if a.To.specific() == b.To.specific() && am.meets(&bm) {
				c.add(b.Key, "an instance can match it and %s, with as many conditions in both, so neither wins; "+
					"give one of them a further condition", a.Key)
				break
			}
		}
	}
}

func (c *checker) access(key string, s *Service) {
	var allows, denies []*Item
	for n := range s.Items {
		switch i := &s.Items[n]; i.Kind {
		case allow:
			allows = append(allows, i)
		case deny:
			denies = append(denies, i)
		}
	}
	switch a := s.Access; {
	case a == nil:
		return
	case a.Enforce && a.Deny && len(allows) == 0:
		c.add(key+".access", "it refuses every call: it allows none, and refuses what matches nothing; say who "+
			"may call, or begin with mode: audit, which only counts")
	case !a.Deny && len(denies) == 0:
		c.note(key+".access", "it refuses nothing: what matches nothing is allowed, and there is no deny")
	case !a.Deny && len(allows) > 0:
		c.note(allows[0].Key, "it changes nothing: what matches nothing is allowed, too; write default: deny if "+
			"only these may call")
	}
	if len(allows)*len(denies) > maxCompared*maxCompared {
		return
	}
	for _, i := range allows {
		for _, d := range denies {
			if d.Expires == 0 && i.Match.within(&d.Match) {
				c.add(i.Key, "it never applies: %s refuses every call that it allows, and deny wins; take one of "+
					"them out", d.Key)
				break
			}
		}
	}
}

// mirrors checks that only what may be executed twice is copied.
func (c *checker) mirrors(s *Service, idempotent []string) {
	for n := range s.Items {
		i := &s.Items[n]
		if i.Kind != mirror {
			continue
		}
		if len(i.Match.Method) == 0 {
			c.add(i.Key, "a copy is executed beside the call, so match: {method: […]} names the methods, which must "+
				"be idempotent")
			continue
		}
		for _, m := range i.Match.Method {
			if p := parsePattern(m); p.not || p.prefix || !has(idempotent, m) {
				c.add(i.Key+".match.method", "%s is not declared idempotent here, and only such methods may be "+
					"mirrored; add it to services.%s.idempotent if it may be executed twice", m, i.Service)
			}
		}
	}
}

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
	if !m.meets(&m) {
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
	if !i.Match.meets(&i.Match) {
		c.add(at, "no call can match it: a value stands there both with and without \"!\"")
	}
	i.Match.each(func(f fieldOf, key string, list []string) {
		name := f.name(key)
		c.values(at, name, list)
		switch {
		case (f == byHeader || f == byCookie || f == byPath || f == byIP) && i.Kind != lanes:
			c.add(at+"."+name, "headers, cookies, paths and addresses of users are known at roots only: give such "+
				"traces a mark by an entry in lanes, and match: {mark: NAME} here")
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

// values checks the values of one condition.
func (c *checker) values(at, name string, list []string) {
	if len(list) > maxValues {
		c.add(at+"."+name, "%d values, at most %d are allowed", len(list), maxValues)
	}
	for _, v := range list {
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
