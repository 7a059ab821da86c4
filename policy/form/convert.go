package form

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/policy"
)

// converter makes a policy of the shapes of its text. Parts with a key in without are left out.
type converter struct {
	problem func(key, format string, args ...any)
	without map[string]bool
	lines   map[string]int  // of the text
	bad     map[string]bool // keys with a value that could not be read
	kept    map[string]int  // those that explanations need
}

func (c *converter) policy(f *file) *policy.Policy {
	c.kept = map[string]int{}
	p := &policy.Policy{Services: c.services("services.", f.Services), Plans: map[string]*policy.Plan{}, Lines: c.kept}
	for name, plan := range f.Plans {
		key := "plans." + name
		if !c.without[key] {
			p.Plans[name] = &policy.Plan{Why: plan.Why, Services: c.services(key+".services.", plan.Services)}
		}
	}
	p.Lanes = convert(c, "", "lanes", "lanes", f.Lanes, c.lane)
	return p
}

func (c *converter) services(prefix string, shapes map[string]service) map[string]*policy.Service {
	out := map[string]*policy.Service{}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		s := shapes[name]
		if key := prefix + name; !c.without[key] {
			out[name] = c.service(key, name, &s)
		}
	}
	return out
}

func (c *converter) service(key, name string, s *service) *policy.Service {
	out := &policy.Service{Methods: map[string]policy.Settings{}}
	out.Settings = c.settings(key, policy.Settings{Timeout: s.Timeout, Wait: s.Wait, AttemptTimeout: s.AttemptTimeout,
		Retries: s.Retries, Idempotent: s.Idempotent, Balancer: s.Balancer, ZoneFirst: s.ZoneFirst,
		MaxPending: s.MaxPending, MaxRate: s.MaxRate, BreakerOff: s.Breaker.Off, BreakerRatio: s.Breaker.Ratio,
		BreakerCalls: s.Breaker.Calls, BreakerWindow: s.Breaker.Window, OutlierFailures: s.Outlier.Failures,
		OutlierEject: s.Outlier.Eject, OutlierMaxEjected: s.Outlier.MaxEjected})
	for method, m := range s.Methods {
		if at := key + ".methods." + method; !c.without[at] {
			out.Methods[method] = c.settings(at, policy.Settings{Timeout: m.Timeout, Wait: m.Wait,
				AttemptTimeout: m.AttemptTimeout, Retries: m.Retries, MaxPending: m.MaxPending, MaxRate: m.MaxRate,
				BreakerOff: m.Breaker.Off, BreakerRatio: m.Breaker.Ratio, BreakerCalls: m.Breaker.Calls,
				BreakerWindow: m.Breaker.Window})
		}
	}
	if s.Access != nil && !c.without[key+".access"] {
		out.Access = c.access(key+".access", s.Access)
		out.Items = append(out.Items, convert(c, name, "allow", key+".access.allow", s.Access.Allow, c.grants)...)
		out.Items = append(out.Items, convert(c, name, "deny", key+".access.deny", s.Access.Deny, c.grants)...)
	}
	out.Items = append(out.Items, convert(c, name, "weights", key+".weights", s.Weights, c.weight)...)
	out.Items = append(out.Items, convert(c, name, "route", key+".route", s.Route, c.route)...)
	out.Items = append(out.Items, convert(c, name, "limits", key+".limits", s.Limits, c.limit)...)
	out.Items = append(out.Items, convert(c, name, "fallback", key+".fallback", s.Fallback, c.fallback)...)
	out.Items = append(out.Items, convert(c, name, "faults", key+".faults", s.Faults, c.fault)...)
	out.Items = append(out.Items, convert(c, name, "mirror", key+".mirror", s.Mirror, c.mirror)...)
	return out
}

// settings leaves out single values, and keeps the lines of the others.
func (c *converter) settings(key string, s policy.Settings) policy.Settings {
	for _, name := range s.Keys() {
		switch at := key + "." + name; {
		case c.without[at], c.without[parent(at)] && parent(at) != key:
			s = s.Without(name)
		default:
			c.kept[at] = c.lines[at]
		}
	}
	return s
}

func (c *converter) access(key string, a *access) *policy.Access {
	switch a.Mode {
	case "", "audit", "enforce":
	default:
		c.problem(key+".mode", "%q is none of audit, enforce", a.Mode)
	}
	switch a.Default {
	case "allow", "deny":
	case "":
		c.problem(key, "default is missing: default: deny refuses callers that match nothing, default: allow lets "+
			"them pass")
	default:
		c.problem(key+".default", "%q is none of allow, deny", a.Default)
	}
	c.kept[key] = c.lines[key]
	return &policy.Access{Enforce: a.Mode == "enforce", Deny: a.Default == "deny"}
}

// convert makes the items of one list.
func convert[T any](c *converter, service, kind, key string, shapes []T, one func(*policy.Item, *T)) []policy.Item {
	if len(shapes) == 0 || c.without[key] {
		return nil
	}
	out := make([]policy.Item, 0, len(shapes))
	for n := range shapes {
		i := policy.Item{Kind: policy.Kind(kind), Service: service, Key: key + "[" + strconv.Itoa(n) + "]"}
		if c.without[i.Key] {
			continue
		}
		one(&i, &shapes[n])
		c.filled(i.Key, map[string]int{"expires": int(min(i.Expires, 1))})
		c.kept[i.Key] = c.lines[i.Key]
		out = append(out, i)
	}
	return out
}

// filled reports keys that stand in the text without a value. A condition without a value would hold for every call,
// and an item with an empty expires would never end.
func (c *converter) filled(key string, values map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at := key + "." + name
		if values[name] == 0 && c.lines[at] > 0 && !c.bad[at] {
			c.problem(at, "it has no value; write one, or take the key out: without it %s",
				cmp.Or(map[string]string{"expires": "the item never ends"}[name], "the item holds for all"))
		}
	}
}

// filledLists is filled for conditions with keys of their own, such as baggage.
func (c *converter) filledLists(key string, tables map[string]map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		table, values := tables[name], map[string]int{}
		for k, list := range table {
			values[k] = len(list)
		}
		c.filled(key, map[string]int{name: len(table)})
		c.filled(key+"."+name, values)
	}
}

func (c *converter) target(key string, t *policy.Target) {
	c.filled(key, map[string]int{"zone": len(t.Zone), "host": len(t.Host)})
	c.filledLists(key, map[string]map[string][]string{"tag": t.Tag})
}

func (c *converter) route(i *policy.Item, s *route) {
	i.Name, i.Expires, i.Why, i.Else = s.Name, s.Expires, s.Why, s.Else
	i.To = policy.Target{Zone: s.To.Zone, Host: s.To.Host, Tag: s.To.Tag}
	c.target(i.Key+".to", &i.To)
	i.Match = c.match(i.Key, ".match", &s.Match, s.Percent)
	if s.To.Version != "" {
		c.problem(i.Key+".to.version", "the version of a call is the release's to choose: begin one that sends "+
			"a share there (skerry release commit --ramp), or give the traces the release's mark by an entry in lanes")
	}
}

func (c *converter) weight(i *policy.Item, s *weight) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.To = policy.Target{Zone: s.Zone, Host: s.Host, Tag: s.Tag}
	c.target(i.Key, &i.To)
	if s.Weight == nil {
		c.problem(i.Key, "weight is missing: 0 sends no calls, 100 is the share of an instance that says nothing")
		return
	}
	i.Weight = *s.Weight
}

func (c *converter) limit(i *policy.Item, s *limit) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.Pending, i.Rate, i.Burst, i.Per = s.Pending, s.Rate, s.Burst, s.Per
	i.Match = c.match(i.Key, ".match", &s.Match, "")
}

func (c *converter) grants(i *policy.Item, s *grants) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.Match = c.match(i.Key, "", &match{Method: s.Method, Caller: s.Caller, CallerVersion: s.CallerVersion,
		Zone: s.Zone, Host: s.Host, Version: s.Version, Mark: s.Mark, Tag: s.Tag, Baggage: s.Baggage,
		Tenant: s.Tenant}, "")
}

func (c *converter) fallback(i *policy.Item, s *fallback) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.On, i.Reply = s.On, s.Reply
	i.Match = c.match(i.Key, ".match", &s.Match, s.Percent)
}

func (c *converter) fault(i *policy.Item, s *fault) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.Delay, i.Error = s.Delay, s.Error
	i.Match = c.match(i.Key, ".match", &s.Match, s.Percent)
}

func (c *converter) mirror(i *policy.Item, s *mirror) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.To.Mark = s.To.Mark
	i.Match = c.match(i.Key, ".match", &s.Match, s.Percent)
}

func (c *converter) lane(i *policy.Item, s *lane) {
	i.Name, i.Expires, i.Why = s.Name, s.Expires, s.Why
	i.Gets = cmp.Or(s.Gets, s.Name)
	i.Match = c.match(i.Key, ".match", &s.Match, s.Percent)
	if s.Name == "" {
		c.problem(i.Key, "name is missing: it is the mark that the traces get, unless gets says another")
	}
}

// match reads the conditions of an item, which stand at within. The percent may stand in match or beside it.
func (c *converter) match(key, within string, m *match, beside string) policy.Match {
	out := policy.Match{Method: m.Method, Caller: m.Caller, CallerVersion: m.CallerVersion, Zone: m.Zone, Host: m.Host,
		Version: m.Version, Mark: m.Mark, Tag: m.Tag, Baggage: m.Baggage, Header: m.Header,
		Cookie: m.Cookie, Path: m.Path,
		IP: m.IP}
	if len(m.Tenant) > 0 {
		if _, twice := m.Baggage["tenant"]; twice {
			c.problem(key+".match.tenant",
				"tenant is short for baggage: {tenant: …}, which stands there, too; keep one of them")
		}
		out.Baggage = maps.Clone(m.Baggage)
		if out.Baggage == nil {
			out.Baggage = map[string][]string{}
		}
		out.Baggage["tenant"] = m.Tenant
	}
	in := key + within
	c.filled(key, map[string]int{"percent": len(beside)})
	c.filled(in, map[string]int{"method": len(m.Method), "caller": len(m.Caller), "zone": len(m.Zone),
		"caller_version": len(m.CallerVersion), "host": len(m.Host), "version": len(m.Version), "mark": len(m.Mark),
		"tenant": len(m.Tenant), "path": len(m.Path), "ip": len(m.IP), "percent": len(m.Percent)})
	c.filledLists(in, map[string]map[string][]string{"tag": m.Tag, "baggage": m.Baggage, "header": m.Header,
		"cookie": m.Cookie})
	at, text := key+".percent", beside
	if m.Percent != "" {
		at, text = key+".match.percent", m.Percent
		if beside != "" {
			c.problem(at, "percent stands in match and beside it; keep one of them")
		}
	}
	if text == "" {
		return out
	}
	n, err := parsePercent(text)
	if err != nil {
		c.problem(at, "%v", err)
		return out
	}
	out.Percent = &n
	return out
}

// parsePercent reads 5, 12.5 or 0.25 as hundredths of a percent.
func parsePercent(text string) (int, error) {
	whole, part, _ := strings.Cut(strings.TrimSuffix(text, "%"), ".")
	n, err := strconv.ParseUint(whole+(part + "00")[:2], 10, 32)
	if err != nil || whole == "" || len(part) > 2 || n > 10_000 {
		return 0, fmt.Errorf("want a percent from 0 to 100 with up to two decimals, such as 5 or 12.5, got %q", text)
	}
	return int(n), nil
}

// parent is the key of the enclosing value.
func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }
