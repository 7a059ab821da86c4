package policy

import (
	"fmt"
	"maps"
	"slices"
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
	"handler_panicked", "version_unavailable", "limited"}

// faultCodes are the failures that a fault may cause: those that a caller can meet from a callee. unavailable is a
// failure of which the caller does not know whether the call was executed.
var faultCodes = []string{"unavailable", "unreachable", "connection_lost", "timeout", "overloaded", "handler_failed"}

// always is the code of a fallback that answers every call before it is sent.
const always = "always"

// preview is the mark that stands for the one of the open release.
const preview = "preview"

// Check returns what is wrong with a policy by itself: impossible values, contradictions, items that can never apply,
// and what must expire and does not. Findings are in the order of their keys.
func Check(p *Policy) []Finding {
	c := &checker{p: p, work: &work{left: compares}}
	if n := p.Items(); n > maxItems {
		c.add("services", "%d items, at most %d are allowed", n, maxItems)
		return c.found
	}
	for _, name := range sortedServices(p.Services) {
		if c.full() {
			return c.found
		}
		c.service("services."+name, name, p.Services[name])
	}
	c.list("lanes", lanes, p.Lanes)
	for _, name := range slices.Sorted(maps.Keys(p.Plans)) {
		c.name("plans."+name, "the plan's name", name)
		for _, s := range sortedServices(p.Plans[name].Services) {
			if c.full() {
				return c.found
			}
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
	work  *work

	faults, notes int // among the findings
}

// maxFound is the number of faults after which a check ends, and of notes that it keeps. One more of each says so.
const maxFound = 1_000

// full reports whether the check has found so many faults that it ends.
func (c *checker) full() bool { return c.faults > maxFound }

func (c *checker) add(key, format string, args ...any) {
	c.find(&c.faults, Finding{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) note(key, format string, args ...any) {
	c.find(&c.notes, Finding{Key: key, Text: fmt.Sprintf(format, args...), Note: true})
}

func (c *checker) find(n *int, f Finding) {
	switch *n++; {
	case *n == maxFound+1:
		f.Text = "more is found, which is not shown"
	case *n > maxFound:
		return
	}
	c.found = append(c.found, f)
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
		if c.full() {
			return
		}
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
	all := make([]*sets, len(items))
	for n := range items {
		i := &items[n]
		all[n] = i.Match.sets()
		if !all[n].meets(all[n], c.work) {
			continue // it matches nothing, which is a finding of its own
		}
		text := i.Match.text()
		if before, same := seen[text]; same && i.hiddenBy(&items[before]) && !all[before].part {
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
			if i.hiddenBy(&items[before]) && all[n].within(all[before], c.work) {
				c.hidden(i, &items[before])
				break
			}
		}
	}
}

// maxCompared is the longest list in which every item is compared with all before it.
const maxCompared = 500

// hiddenBy reports whether the item can't apply while the other one does, which stands before it and matches all its
// calls.
func (i *Item) hiddenBy(o *Item) bool {
	if o.Expires != 0 && (i.Expires == 0 || i.Expires > o.Expires) {
		return false
	}
	if i.Kind == fallback && slices.ContainsFunc(i.On, func(code string) bool { return !slices.Contains(o.On, code) }) {
		return false
	}
	return true
}

func (c *checker) hidden(i, by *Item) {
	c.add(i.Key, "it never applies: %s stands before it and matches every call that it matches; move it in front, or "+
		"take it out", by.Key)
}

// weights finds two weights that an instance could have at once.
func (c *checker) weights(items []Item) {
	all := make([]*sets, min(len(items), maxCompared))
	for n := range all {
		to := items[n].To.match()
		all[n] = to.sets()
		for before := range n {
			a, b := &items[before], &items[n]
			if !c.work.spend(ofItems) {
				return
			}
			if len(all[before].conditions) == len(all[n].conditions) && all[before].meets(all[n], c.work) &&
				c.work.spend(0) {
				c.add(b.Key, "an instance can match it and %s, with as many conditions in both, so neither wins; "+
					"give one of them a further condition", a.Key)
				break
			}
		}
	}
}

func (c *checker) access(key string, s *Service) {
	var allows, denies []*Item
	var allowed, denied []*sets
	for n := range s.Items {
		switch i := &s.Items[n]; i.Kind {
		case allow:
			allows = append(allows, i)
			allowed = append(allowed, i.Match.sets())
		case deny:
			denies = append(denies, i)
			denied = append(denied, i.Match.sets())
		}
	}
	switch a := s.Access; {
	case a == nil:
		return
	case a.Enforce && a.Deny && len(allows) == 0:
		c.add(key+".access", "it refuses every call: it allows none, and refuses what matches nothing; name "+
			"the callers under allow, or begin with mode: audit, which only counts")
	case !a.Deny && len(denies) == 0:
		c.note(key+".access", "it refuses nothing: what matches nothing is allowed, and there is no deny")
	case !a.Deny && len(allows) > 0:
		c.note(allows[0].Key, "it changes nothing: what matches nothing is allowed, too; write default: deny if "+
			"only these may call")
	}
	if len(allows)*len(denies) > maxCompared*maxCompared {
		return
	}
	for n, i := range allows {
		if !allowed[n].meets(allowed[n], c.work) {
			continue // it matches nothing, which is a finding of its own
		}
		for m, d := range denies {
			if d.Expires == 0 && allowed[n].within(denied[m], c.work) {
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
