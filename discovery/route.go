package discovery

import (
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// weighed is what the site's policy says of a member's weight. It is found again only when the rules
// or the member's description have changed. The service's mutex guards it.
type weighed struct {
	known bool
	ruled bool  // the policy gives the weight
	given int16 // at most registry.MaxWeight
}

// weigh finds the weights that the policy gives to members. s.mu is held.
func (s *service) weigh() {
	again := s.weighedBy != s.opts.Policy
	s.weighedBy = s.opts.Policy
	for _, m := range s.u.order {
		if again || !m.known {
			given, ruled := s.opts.Policy.Weight(m.in.Zone, m.in.Owner.Host, m.in.Tags)
			m.weighed = weighed{true, ruled, int16(given)}
		}
	}
}

// weight is the policy's weight of the member, else the registered one.
func (m *member) weight() int {
	if m.ruled {
		return int(m.given)
	}
	return m.in.EffectiveWeight()
}

// routedViews are the parts of a view at the targets of routes. Each one is made when a call first has
// its route.
type routedViews struct {
	known atomic.Pointer[map[*policy.Item]*subview]
	mu    sync.Mutex // held to add
}

// maxRouted bounds the parts of one view. Beyond it they are made anew.
const maxRouted = 128

// at is the part of the view at the target of a route.
func (v *view) at(route *policy.Item) *subview {
	if known := v.routes.known.Load(); known != nil {
		if sub := (*known)[route]; sub != nil {
			return sub
		}
	}
	v.routes.mu.Lock()
	defer v.routes.mu.Unlock()
	next := map[*policy.Item]*subview{}
	if known := v.routes.known.Load(); known != nil {
		if sub := (*known)[route]; sub != nil {
			return sub
		}
		if len(*known) < maxRouted {
			next = maps.Clone(*known)
		}
	}
	next[route] = v.atTarget(route)
	v.routes.known.Store(&next)
	return next[route]
}

// atTarget makes the part of the view at the target of a route.
func (v *view) atTarget(route *policy.Item) *subview {
	var byTier [tiers][]candidate
	within := map[*rpc.Endpoint]bool{}
	tier := 0
	for i := range v.size() {
		for i >= v.bounds[tier] {
			tier++
		}
		c := v.candidate(i)
		if c.in != nil && route.Picks(c.in.Zone, c.in.Owner.Host, c.in.Tags) {
			byTier[tier] = append(byTier[tier], c)
			within[c.ep] = true
		}
	}
	sub := &subview{newView(v.opts, &byTier, v.ring), new(atomic.Uint64)}
	sub.turn.Store(rand.Uint64N(1 << 32))
	if sub.ring != nil && !sub.whole {
		sub.within = within
	}
	return sub
}

// candidate is one of all, the better ones first.
func (v *view) candidate(i int) candidate {
	if i < len(v.best) {
		return v.best[i]
	}
	return v.rest[i-len(v.best)]
}

// pickRouted chooses among the instances of the call's version at the target of its route. With else:
// all it chooses among all of the version when none there is well, or the call has tried them.
func (v *view) pickRouted(call *rpc.Call, turn *atomic.Uint64) *rpc.Endpoint {
	if sub := v.versions[call.Version]; sub != nil {
		turn = sub.turn
	}
	if v = v.of(call); v == nil {
		return nil
	}
	sub := v.at(call.Route)
	if v.leavesRoute(call, sub) {
		return v.choose(call, turn)
	}
	ep := sub.choose(call, sub.turn)
	if call.Route.Else == "all" {
		if ep == nil {
			return v.choose(call, turn)
		}
		call.Others = v.size() > 1
	}
	return ep
}

// leavesRoute reports whether a call is sent to all instances, because none at its route's target is
// well and others are.
func (v *view) leavesRoute(call *rpc.Call, sub *subview) bool {
	return call.Route.Else == "all" && (len(sub.best) == 0 || sub.tier > tierWell && v.tier <= tierWell)
}

// choices is the part of the view that a call may be sent to, nil when there is none.
func (v *view) choices(call *rpc.Call) *view {
	if v = v.of(call); v == nil || call.Route == nil || call.Route.Else == "all" {
		return v
	}
	return v.at(call.Route).view
}
