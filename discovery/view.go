package discovery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/rpc"
)

// Tiers of a view. Calls go to the first that has a candidate.
const (
	tierNear = iota // well, in the own zone
	tierWell
	tierSuspect
	tierEjected
	tierLeaving
	tiers
	tierNone = tiers // not to be called
)

// view is what pickers see of one service. It is immutable.
type view struct {
	balancer Balancer
	best     []candidate // the first tier that has any
	rest     []candidate // the other tiers, in their order
	tier     uint32      // of best
	alias    alias
	cycle    cycle
	ring     *ring
	whole    bool // best has every member of the ring

	bounds [tiers]int             // ends of the tiers in best and rest together
	opts   Options                // by which it was made
	within map[*rpc.Endpoint]bool // its members, when the ring has others; nil: not needed
	routes *routedViews           // of calls with a route

	only     string              // the version of all candidates, while they have one
	versions map[string]*subview // by version, when the candidates have several

	settled  bool          // an empty view may be believed
	none     error         // reason for the lack of candidates
	replaced chan struct{} // closed when the next view is published
}

// tierOf places a member. share is the part of its weight that it gets, next the time at which that
// changes.
func tierOf(m *member, o Options, zone string, warmUp time.Duration,
	now time.Time) (tier int, s State, share float64, next time.Time) {
	if m.buried != nil || m.heir != nil {
		return tierNone, Gone, 0, time.Time{}
	}
	if m.away != "" {
		return tierNone, Elsewhere, 0, time.Time{}
	}
	if m.drained {
		return tierNone, Drained, 0, time.Time{}
	}
	if m.weight() == 0 || !o.admits(*m.in) {
		return tierNone, Excluded, 0, time.Time{}
	}
	if s, _, _ = m.cond.state(now); m.leaving {
		s = Leaving
	}
	share, next = warmth(m.in.Started, now, warmUp)
	switch s {
	case Suspect:
		tier = tierSuspect
	case Ejected:
		tier = tierEjected
	case Leaving:
		tier = tierLeaving
	default:
		tier = tierWell
		if o.ZoneFirst && zone != "" && m.in.Zone == zone {
			tier = tierNear
		}
		if share < 1 {
			s = Warming
		}
	}
	return tier, s, share, next
}

// subview is the part of a view with one version.
type subview struct {
	*view
	turn *atomic.Uint64 // of round robin
}

// split prepares a view of each version when there are several.
func (v *view) split(o Options, byTier *[tiers][]candidate, hashRing *ring, turns *turns) {
	if len(v.best) == 0 {
		return
	}
	v.only = v.best[0].ep.Version
	other := func(c candidate) bool { return c.ep.Version != v.only }
	if !slices.ContainsFunc(v.best, other) && !slices.ContainsFunc(v.rest, other) {
		return
	}
	parts := map[string]*[tiers][]candidate{}
	for tier, cs := range byTier {
		for _, c := range cs {
			part := parts[c.ep.Version]
			if part == nil {
				part = &[tiers][]candidate{}
				parts[c.ep.Version] = part
			}
			part[tier] = append(part[tier], c)
		}
	}
	v.only, v.versions = "", make(map[string]*subview, len(parts))
	for version, part := range parts {
		v.versions[version] = &subview{newView(o, part, hashRing), turns.of(version)}
	}
}

// turns are the round robin counts, one for each version. With one count, two versions called in
// turn would see every second number only.
type turns map[string]*atomic.Uint64

func (t *turns) of(version string) *atomic.Uint64 {
	if *t == nil {
		*t = turns{}
	}
	n := (*t)[version]
	if n == nil {
		n = new(atomic.Uint64)
		(*t)[version] = n
	}
	return n
}

// pick chooses among the instances of the call's version.
func (v *view) pick(call *rpc.Call, turn *atomic.Uint64) *rpc.Endpoint {
	if call.Route != nil {
		return v.pickRouted(call, turn)
	}
	if call.Version == "" || v.versions == nil && call.Version == v.only {
		return v.choose(call, turn)
	}
	if sub := v.versions[call.Version]; sub != nil {
		return sub.choose(call, sub.turn)
	}
	return nil
}

// candidates is how many instances a call may be sent to.
func (v *view) candidates(call *rpc.Call) int {
	if v = v.choices(call); v == nil {
		return 0
	}
	return v.size()
}

// size is how many candidates the view has.
func (v *view) size() int { return len(v.best) + len(v.rest) }

// of is the part of the view for a call's version, nil when there is none.
func (v *view) of(call *rpc.Call) *view {
	if sub := v.versions[call.Version]; sub != nil {
		return sub.view
	}
	if call.Version != "" && call.Version != v.only {
		return nil
	}
	return v
}

// noneOf is the error when a call's version has no instance.
func (v *view) noneOf(service, version string) error {
	if len(v.best) == 0 {
		return v.none
	}
	have := slices.Sorted(maps.Keys(v.versions))
	if v.versions == nil {
		have = []string{v.only}
	}
	return fmt.Errorf("%w: none of the %d of %s is of version %s; they are of %q", rpc.ErrNoInstance,
		len(v.best)+len(v.rest), service, version, have)
}

// newView sorts candidates into the view's tiers and prepares its balancer.
func newView(o Options, byTier *[tiers][]candidate, hashRing *ring) *view {
	v := &view{balancer: o.Balancer, opts: o, routes: &routedViews{}, replaced: make(chan struct{})}
	for tier, cs := range byTier {
		v.bounds[tier] = len(cs)
		if tier > 0 {
			v.bounds[tier] += v.bounds[tier-1]
		}
		if v.best == nil && len(cs) > 0 {
			v.best, v.tier = cs, uint32(tier)
		} else {
			v.rest = append(v.rest, cs...)
		}
	}
	if len(v.best) == 0 {
		return v
	}
	switch o.Balancer {
	case balanceRoundRobin:
		v.cycle = newCycle(v.best)
		return v
	case balanceHash:
		v.ring, v.whole = hashRing, hashRing.size() == len(v.best)
	}
	v.alias = newAlias(v.best)
	return v
}

// choose picks a candidate for a call, nil when there is none that the call
// may use. turn is the service's count of round robin.
func (v *view) choose(call *rpc.Call, turn *atomic.Uint64) *rpc.Endpoint {
	if len(v.best) == 0 {
		return nil
	}
	call.Others = v.size() > 1
	var ep *rpc.Endpoint
	switch {
	case v.ring != nil && call.HashKey != "":
		if v.whole {
			if ep := v.ring.nearest(call.HashKey).ep; call.TryAgain || !call.Tried(ep) {
				return ep
			}
		}
		m := v.ring.find(call.HashKey, func(m *member) bool {
			return m.tier.Load() == v.tier && (v.within == nil || v.within[m.ep]) &&
				(call.Version == "" || m.ep.Version == call.Version) &&
				(call.TryAgain || !call.Tried(m.ep))
		})
		if m != nil {
			return m.ep
		}
		return v.scan(call)
	case v.balancer == balanceRoundRobin && call.Copy:
		ep = v.best[v.cycle.at(rand.Uint64N(1<<32), len(v.best))].ep
	case v.balancer == balanceRoundRobin:
		ep = v.best[v.cycle.at(turn.Add(1), len(v.best))].ep
	default:
		ep = v.alias.lessBusy(v.best).ep
	}
	if call.TryAgain || !call.Tried(ep) {
		return ep
	}
	return v.scan(call)
}

// scan finds a candidate that the call has not tried, best tiers first.
func (v *view) scan(call *rpc.Call) *rpc.Endpoint {
	start := rand.IntN(len(v.best))
	for k := range v.best {
		if ep := v.best[(start+k)%len(v.best)].ep; call.TryAgain || !call.Tried(ep) {
			return ep
		}
	}
	for _, c := range v.rest {
		if !call.Tried(c.ep) {
			return c.ep
		}
	}
	return nil
}
