package policy

import (
	"maps"
	"slices"

	"github.com/skerry/skerry/registry"
)

// CheckSite compares a policy with the instances of a site, and returns what does not fit: services that are not
// offered, targets without an instance, and services without an instance of a weight above 0. Hosts are the names of
// Owner.Host. A route to no instance is a fault, unless it says else: all.
func CheckSite(p *Policy, instances []registry.Instance) []Finding {
	c := &checker{p: p}
	of := map[string][]registry.Instance{}
	for _, in := range instances {
		of[in.Service] = append(of[in.Service], in)
	}
	check := func(prefix string, services map[string]*Service) {
		for _, name := range sortedServices(services) {
			there := of[name]
			if name == Every {
				there = instances
			}
			if len(there) == 0 && name != Every {
				c.note(prefix+name, "no process offers %s now", name)
			}
			c.targets(services[name], there)
		}
	}
	check("services.", p.Services)
	for _, plan := range slices.Sorted(maps.Keys(p.Plans)) {
		check("plans."+plan+".services.", p.Plans[plan].Services)
	}
	table := Compile(p, nil, 0)
	for _, name := range slices.Sorted(maps.Keys(of)) {
		c.weightless(table.Rules(name, ""), name, of[name])
	}
	return c.found
}

func (c *checker) targets(s *Service, there []registry.Instance) {
	for n := range s.Items {
		i := &s.Items[n]
		if i.Kind != route && i.Kind != weights || slices.ContainsFunc(there, func(in registry.Instance) bool {
			return i.Picks(in.Zone, in.Owner.Host, in.Tags)
		}) {
			continue
		}
		switch {
		case i.Kind == weights:
			c.note(i.Key, "no instance is there now, so it changes nothing")
		case i.Else == "all":
			c.note(i.Key, "no instance is at to now, so calls go to all")
		default:
			c.add(i.Key, "no instance is at to now, and else: none lets such calls fail; write else: all, or wait "+
				"for the instances")
		}
	}
}

// weightless finds a service of which no living instance would get calls, by weights of its own or of "*".
func (c *checker) weightless(r *Rules, name string, there []registry.Instance) {
	sum, said := 0, false
	for _, in := range there {
		weight := in.EffectiveWeight()
		if w, ok := r.Weight(in.Zone, in.Owner.Host, in.Tags); ok {
			weight, said = w, true
		}
		sum += weight
	}
	if said && sum == 0 {
		c.add(c.placeOfWeights(name), "every living instance of %s would have the weight 0, and get no "+
			"calls; leave one of them a weight", name)
	}
}

// placeOfWeights is where the weights of a service stand: those in front, as they count.
func (c *checker) placeOfWeights(service string) string {
	has := func(s *Service) bool { return s != nil && slices.ContainsFunc(s.Items, ofWeights) }
	for _, name := range []string{service, Every} {
		for _, on := range slices.Backward(c.p.On) {
			if plan := c.p.Plans[on.Name]; plan != nil && has(plan.Services[name]) {
				return "plans." + on.Name + ".services." + name + ".weights"
			}
		}
		if has(c.p.Services[name]) {
			return "services." + name + ".weights"
		}
	}
	return "services." + Every + ".weights"
}

func ofWeights(i Item) bool { return i.Kind == weights }
