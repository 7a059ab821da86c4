package releases

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
)

// Policy is the site's policy beside a release.
type Policy struct {
	Number uint64 // 0: none
	Title  string
	Table  *policy.Table
}

func (s *Live) Policy(ctx context.Context) Policy {
	ctx, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	e := control.NewPolicies(s.node, control.Operator{}).Learn(ctx)
	return Policy{e.Number, policychange.Title(e), s.node.Membership().Policy().Table()}
}

// stays says that a rollback does not touch the policy, "" without one.
func (p Policy) stays() string {
	if p.Number == 0 {
		return ""
	}
	return "The site's policy stays as it is: " + p.Title + "."
}

// LeavesWithout finds what of a policy would leave the new version of a release without an instance for calls.
func (p Policy) LeavesWithout(r rollout.Release, listed []discovery.Entry) (list []Difference) {
	if p.Number == 0 || r.Finished() {
		return nil
	}
	for _, m := range r.Modules {
		there := slices.DeleteFunc(policychange.InstancesOf(listed), func(in registry.Instance) bool {
			return in.Service != m.Service || in.Version != m.New
		})
		if len(there) == 0 {
			continue // which is a finding of its own
		}
		what := Title(m.Service, m.New) + " is new, and policy " + strconv.FormatUint(p.Number, 10)
		rules, weight, said := p.Table.Rules(m.Service, ""), 0, false
		for _, e := range there {
			w := e.EffectiveWeight()
			if by, ruled := rules.Weight(e.Zone, e.Owner.Host, e.Tags); ruled {
				w, said = by, true
			}
			weight += w
		}
		if said && weight == 0 {
			list = append(list, Difference{What: what + " leaves it no instance of a weight above 0",
				Mend: "start an instance elsewhere, or change the weights: skerry policy apply"})
		}
		for _, i := range routesOf(p.Table, m.Service) {
			if i.Else == "none" && !picksAny(i, there) {
				list = append(list, Difference{
					What: what + " has " + i.Key + ", which leads to no instance of it: such calls would fail",
					Mend: "start an instance there, or write else: all: skerry policy apply"})
			}
		}
	}
	return list
}

// routesOf are the routes in force for a service.
func routesOf(t *policy.Table, service string) (routes []*policy.Item) {
	for _, name := range []string{service, policy.Every} {
		_, items := t.InForce(name)
		for _, i := range items {
			if i.Kind == "route" {
				routes = append(routes, i)
			}
		}
	}
	return routes
}

// picksAny reports whether one of the instances is at the target of an item.
func picksAny(i *policy.Item, there []registry.Instance) bool {
	for _, e := range there {
		if i.Picks(e.Zone, e.Owner.Host, e.Tags) {
			return true
		}
	}
	return false
}

// rulesTime is how long a look waits for the policy of the site after it has its list.
const rulesTime = time.Second
