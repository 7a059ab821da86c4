package policy

import "slices"

// first returns the item that matches, of lists in their order; nil without one.
func first(own, every []*rule, q *Request) *Item {
	for _, r := range own {
		if r.matches(q) {
			return r.item
		}
	}
	for _, r := range every {
		if r.matches(q) {
			return r.item
		}
	}
	return nil
}

// Route returns the item that says where the call goes, nil without one. See [Item.Picks].
func (r *Rules) Route(q *Request) *Item {
	if r == nil {
		return nil
	}
	return first(r.own.route, r.every.route, q)
}

// Fault returns the item that delays the call or has it fail, nil without one.
func (r *Rules) Fault(q *Request) *Item {
	if r == nil {
		return nil
	}
	return first(r.own.faults, r.every.faults, q)
}

// Mirror returns the item that has the call copied, nil without one.
func (r *Rules) Mirror(q *Request) *Item {
	if r == nil {
		return nil
	}
	return first(r.own.mirror, r.every.mirror, q)
}

// Fallback returns the item with the reply for a call that has failed for good with a code, nil without one. With the
// code "always" it returns the item that answers a call before it is sent.
func (r *Rules) Fallback(q *Request, code string) *Item {
	if r == nil {
		return nil
	}
	for _, list := range [2][]*rule{r.own.fallback, r.every.fallback} {
		for _, f := range list {
			if slices.Contains(f.item.On, code) && f.matches(q) {
				return f.item
			}
		}
	}
	return nil
}

// ForCallers reports whether a caller has to match calls with items: routes, faults, fallbacks or mirrors.
func (r *Rules) ForCallers() bool {
	if r == nil {
		return false
	}
	n := 0
	for _, l := range [2]*lists{r.own, r.every} {
		n += len(l.route) + len(l.faults) + len(l.fallback) + len(l.mirror)
	}
	return n > 0
}

// Limits appends the limits that hold for the call to buf. All of them hold.
func (r *Rules) Limits(q *Request, buf []*Item) []*Item {
	if r == nil {
		return buf
	}
	for _, list := range [2][]*rule{r.own.limits, r.every.limits} {
		for _, l := range list {
			if l.matches(q) {
				buf = append(buf, l.item)
			}
		}
	}
	return buf
}

// Access decides whether the callee executes the call. enforced is false where a refusal is only counted. by is the
// item that decides, nil for the default.
func (r *Rules) Access(q *Request) (allowed, enforced bool, by *Item) {
	if r == nil || !r.guarded {
		return true, false, nil
	}
	if by = first(r.own.deny, r.every.deny, q); by != nil {
		return false, r.access.Enforce, by
	}
	if by = first(r.own.allow, r.every.allow, q); by != nil {
		return true, r.access.Enforce, by
	}
	return !r.access.Deny, r.access.Enforce, nil
}

// Weight returns the weight that the policy gives to an instance of the service; ok is false without one. Of several
// items the one with most conditions counts.
func (r *Rules) Weight(zone, host string, tags map[string]string) (weight int, ok bool) {
	if r == nil {
		return 0, false
	}
	for _, list := range [2][]*rule{r.own.weights, r.every.weights} {
		for _, w := range list {
			if w.item.Picks(zone, host, tags) {
				return w.item.Weight, true
			}
		}
	}
	return 0, false
}

// HasLanes reports whether traces may get marks by the policy.
func (t *Table) HasLanes() bool { return t != nil && len(t.lanes) > 0 }

// Lane returns the item that gives a mark to the trace of a user's request, nil without one.
func (t *Table) Lane(q *Request) *Item {
	if t == nil {
		return nil
	}
	return first(t.lanes, nil, q)
}
