package policy

import (
	"cmp"
	"slices"
	"time"
)

// Table is a policy in the form in which calls are matched with it. It is immutable. A nil Table is that of a site
// without a policy.
type Table struct {
	policy     *Policy
	services   map[string]*serviceRules
	every      *serviceRules // of services that have no entry of their own
	lanes      []*rule
	next       time.Duration
	ended      []uint64 // identities of items that have expired
	endedPlans []string
}

// serviceRules are the rules of one service.
type serviceRules struct {
	rest    *Rules            // of methods that are not named
	methods map[string]*Rules // nil without one
}

// Rules are what a policy says about the calls of one method. A nil Rules says nothing.
type Rules struct {
	// Settings are the values that the policy has for the method, or for its service, or for "*".
	Settings

	own, every *lists // of the service and of "*"; never nil
	guarded    bool   // Access is used
	access     Access
}

// lists are the items of a service, by kind.
type lists struct {
	route, limits, allow, deny, fallback, faults, mirror, weights []*rule
}

func (l *lists) of(k Kind) *[]*rule {
	switch k {
	case route:
		return &l.route
	case limits:
		return &l.limits
	case allow:
		return &l.allow
	case deny:
		return &l.deny
	case fallback:
		return &l.fallback
	case faults:
		return &l.faults
	case mirror:
		return &l.mirror
	}
	return &l.weights
}

// kinds are those of services. deny stands before allow, as it wins.
var kinds = []Kind{route, limits, deny, allow, fallback, faults, mirror, weights}

var noLists = &lists{}

// narrowing bounds the items that tables of single methods hold for one service. Without the bound, a text could name
// a thousand methods and a thousand items, and make a table of a million places.
const narrowing = 16 << 10

// Compile returns the table of a policy at a time. ages is from [Ages.At] of the policy; items and plans that have
// expired by now are left out.
func Compile(p *Policy, ages Ages, now time.Duration) *Table {
	t := &Table{policy: p, services: map[string]*serviceRules{}}
	merged := t.merge(ages, now)
	every := merged[Every]
	if every == nil {
		every = &Service{}
	}
	everyLists := t.lists(every.Items, ages, now)
	t.every = t.service(&Service{}, noLists, every, everyLists)
	for name, s := range merged {
		if name != Every && name != internal {
			t.services[name] = t.service(s, t.lists(s.Items, ages, now), every, everyLists)
		}
	}
	for i := range p.Lanes {
		if t.alive(&p.Lanes[i], ages, now) {
			t.lanes = append(t.lanes, newRule(&p.Lanes[i]))
		}
	}
	return t
}

// merge returns the services with those of the plans that are on; the items of plans stand in front.
func (t *Table) merge(ages Ages, now time.Duration) map[string]*Service {
	merged := t.policy.Services
	copied := false
	for _, on := range t.policy.On {
		plan := t.policy.Plans[on.Name]
		if plan == nil {
			continue
		}
		if on.For > 0 && !t.lasts(on.id(), on.For, ages, now) {
			t.endedPlans = append(t.endedPlans, on.Name)
			continue
		}
		if !copied {
			copied = true
			own := merged
			merged = make(map[string]*Service, len(own)+len(plan.Services))
			for name, s := range own {
				merged[name] = s
			}
		}
		for name, s := range plan.Services {
			merged[name] = s.of(on).before(merged[name])
		}
	}
	return merged
}

// before returns the service with the parts of another one behind its own.
func (s *Service) before(o *Service) *Service {
	if o == nil {
		return s
	}
	both := &Service{Settings: s.over(o.Settings), Access: cmp.Or(s.Access, o.Access),
		Items: append(slices.Clip(s.Items), o.Items...), Methods: map[string]Settings{}}
	for name, m := range o.Methods {
		both.Methods[name] = m
	}
	for name, m := range s.Methods {
		both.Methods[name] = m.over(o.Methods[name])
	}
	return both
}

// lasts reports whether something that began at its age, or now, has not ended; it remembers the next end.
func (t *Table) lasts(id uint64, after time.Duration, ages Ages, now time.Duration) bool {
	since, known := ages[id]
	if !known {
		since = now
	}
	end := since + after
	if end <= now {
		return false
	}
	if t.next == 0 || end < t.next {
		t.next = end
	}
	return true
}

func (t *Table) alive(i *Item, ages Ages, now time.Duration) bool {
	if i.Expires == 0 || t.lasts(i.bodyID(), i.Expires, ages, now) {
		return true
	}
	t.ended = append(t.ended, i.bodyID())
	return false
}

func (t *Table) lists(items []Item, ages Ages, now time.Duration) *lists {
	if len(items) == 0 {
		return noLists
	}
	l := &lists{}
	for i := range items {
		if t.alive(&items[i], ages, now) {
			to := l.of(items[i].Kind)
			*to = append(*to, newRule(&items[i]))
		}
	}
	slices.SortStableFunc(l.weights, func(a, b *rule) int {
		return cmp.Compare(b.item.To.specific(), a.item.To.specific())
	})
	return l
}

// specific is the number of conditions of a target.
func (t *Target) specific() (n int) {
	m := t.match()
	m.each(func(fieldOf, string, []string) { n++ })
	return n
}

// service returns the rules of one service, and of the methods that it or its items name.
func (t *Table) service(s *Service, own *lists, every *Service, everyLists *lists) *serviceRules {
	base := Rules{Settings: s.over(every.Settings), own: own, every: everyLists}
	if a := cmp.Or(s.Access, every.Access); a != nil {
		base.guarded, base.access = true, *a
	}
	named := map[string]bool{}
	for name := range s.Methods {
		named[name] = true
	}
	own.names(named)
	all := &serviceRules{rest: &base}
	narrow := len(named)*own.count() <= narrowing
	if len(named) > 0 {
		all.methods = make(map[string]*Rules, len(named))
	}
	for name := range named {
		m, settled := s.Methods[name]
		if !settled && !narrow {
			continue
		}
		r := base
		if settled {
			r.Settings = m.over(base.Settings)
		}
		if narrow {
			r.own = own.narrowed(func(c *cond) bool { return c.has(name) })
		}
		all.methods[name] = &r
	}
	if narrow {
		base.own = own.narrowed(func(c *cond) bool { return !c.named() })
	}
	return all
}

// names adds the methods that items name.
func (l *lists) names(to map[string]bool) {
	for _, k := range kinds {
		for _, r := range *l.of(k) {
			for c := range r.conds {
				if r.conds[c].field == byMethod {
					for _, name := range r.conds[c].exact {
						to[name] = true
					}
				}
			}
		}
	}
}

func (l *lists) count() (n int) {
	for _, k := range kinds {
		n += len(*l.of(k))
	}
	return n
}

// narrowed returns the lists without the items with a condition of a method that fails keep; l itself when all stay.
func (l *lists) narrowed(keep func(*cond) bool) *lists {
	out, fewer := &lists{}, false
	for _, k := range kinds {
		from := *l.of(k)
		to := slices.DeleteFunc(slices.Clone(from), func(r *rule) bool {
			return slices.ContainsFunc(r.conds, func(c cond) bool { return c.field == byMethod && !keep(&c) })
		})
		if len(to) == len(from) {
			to = from
		} else {
			fewer = true
		}
		*out.of(k) = slices.Clip(to)
	}
	if !fewer {
		return l
	}
	return out
}

// Next returns when an item or plan expires next, on the clock of Compile: compile again then. 0: never.
func (t *Table) Next() time.Duration {
	if t == nil {
		return 0
	}
	return t.next
}

// Policy returns the policy of the table, nil without one.
func (t *Table) Policy() *Policy {
	if t == nil {
		return nil
	}
	return t.policy
}

// Each calls f with what the policy says about the methods of a service: first, with the name "", about those
// that it does not name. Without a policy f is not called.
func (t *Table) Each(service string, f func(method string, r *Rules)) {
	if t == nil || service == internal {
		return
	}
	s := t.services[service]
	if s == nil {
		s = t.every
	}
	f("", s.rest)
	for method, r := range s.methods {
		f(method, r)
	}
}

// Rules returns what the policy says about a method's calls.
func (t *Table) Rules(service, method string) *Rules {
	if t == nil || service == internal {
		return nil
	}
	s := t.services[service]
	if s == nil {
		s = t.every
	}
	if s.methods != nil {
		if r := s.methods[method]; r != nil {
			return r
		}
	}
	return s.rest
}
