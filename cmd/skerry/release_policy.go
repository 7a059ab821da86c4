package main

import (
	"context"
	"slices"
	"strconv"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
)

// policyInForce is the site's policy beside a release.
type policyInForce struct {
	number uint64 // 0: none
	title  string
	table  *policy.Table
}

func (s *liveSite) Policy(ctx context.Context) policyInForce {
	ctx, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	e := control.NewPolicies(s.node, control.Operator{}).Learn(ctx)
	return policyInForce{e.Number, policychange.Title(e), s.node.Membership().Policy().Table()}
}

// stays says that a rollback does not touch the policy, "" without one.
func (p policyInForce) stays() string {
	if p.number == 0 {
		return ""
	}
	return "The site's policy stays as it is: " + p.title + "."
}

// leavesWithout finds what of a policy would leave the new version of a release without an instance for calls.
func (p policyInForce) leavesWithout(r rollout.Release, listed []discovery.Entry) (list []difference) {
	if p.number == 0 || r.Finished() {
		return nil
	}
	for _, m := range r.Modules {
		there := slices.DeleteFunc(policychange.InstancesOf(listed), func(in registry.Instance) bool {
			return in.Service != m.Service || in.Version != m.New
		})
		if len(there) == 0 {
			continue // which is a finding of its own
		}
		what := title(m.Service, m.New) + " is new, and policy " + strconv.FormatUint(p.number, 10)
		rules, weight, said := p.table.Rules(m.Service, ""), 0, false
		for _, e := range there {
			w := e.EffectiveWeight()
			if by, ruled := rules.Weight(e.Zone, e.Owner.Host, e.Tags); ruled {
				w, said = by, true
			}
			weight += w
		}
		if said && weight == 0 {
			list = append(list, difference{What: what + " leaves it no instance of a weight above 0",
				Mend: "start an instance elsewhere, or change the weights: skerry policy apply"})
		}
		for _, i := range routesOf(p.table, m.Service) {
			if i.Else == "none" && !picksAny(i, there) {
				list = append(list, difference{
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
