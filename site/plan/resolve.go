package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Host is a host that is known when a plan is made.
type Host struct {
	Name     string
	Platform string // such as linux/amd64
	Labels   map[string]string
}

// Resolve returns a draft with what it left out: the digests of artifacts, and the hosts that its selectors choose.
// now is the plan that is obeyed, nil for none. artifacts returns the digests of a version by platform, as a store has
// them.
//
// A selector spreads its instances evenly over the hosts with its labels, then over those with the fewest instances. An
// instance stays where it is as long as that holds, so the same plan on the same hosts moves nothing.
func (p *Plan) Resolve(now *Plan, hosts []Host, artifacts func(service, version string) map[string]string) (*Plan,
	error) {
	next := p.clone()
	load := map[string]int{}
	var wrong []error
	next.each(func(name, version string, r *Run) {
		running := Run{}
		if now != nil {
			running = now.Services[name].Run[version]
		}
		if len(r.Artifacts) == 0 {
			// A version has one content, so those of the plan that is obeyed hold where a store has fewer of them.
			r.Artifacts = maps.Clone(running.Artifacts)
			if found := artifacts(name, version); r.Artifacts == nil {
				r.Artifacts = found
			} else {
				maps.Copy(r.Artifacts, found)
			}
		}
		if len(r.Artifacts) == 0 {
			wrong = append(wrong, fmt.Errorf("%s/%s: there is no such artifact in the store; import its bundle", name,
				version))
		}
		if r.On.Count > 0 && len(r.Hosts) == 0 {
			r.Hosts = running.Hosts
		}
		if r.On.Count == 0 {
			for host, n := range r.Hosts {
				load[host] += n
			}
		}
	})
	next.each(func(name, version string, r *Run) {
		if r.On.Count == 0 || len(r.Artifacts) == 0 {
			return
		}
		chosen, err := r.choose(hosts, load)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s/%s: %w", name, version, err))
			return
		}
		r.Hosts = chosen
		for host, n := range chosen {
			load[host] += n
		}
	})
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return next, nil
}

// each changes all versions of all services, in the order of their names.
func (p *Plan) each(change func(service, version string, r *Run)) {
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		for _, version := range slices.Sorted(maps.Keys(p.Services[name].Run)) {
			r := p.Services[name].Run[version]
			change(name, version, &r)
			p.Services[name].Run[version] = r
		}
	}
}

// choose returns the number of instances by host for a selector. load is the number of instances of the others.
func (r Run) choose(hosts []Host, load map[string]int) (map[string]int, error) {
	var fit []string
	for _, h := range hosts {
		if r.On.fits(h.Labels) && cmp.Or(r.Artifacts[h.Platform], r.Artifacts["any"]) != "" {
			fit = append(fit, h.Name)
		}
	}
	slices.Sort(fit)
	fit = slices.Compact(fit)
	if len(fit) == 0 {
		return nil, fmt.Errorf("no known host has the labels %s and one of the platforms %s", flow(r.On.Labels, scalar),
			list(r.Artifacts))
	}
	most := (r.On.Count + len(fit) - 1) / len(fit)
	if most > maxOnHost {
		return nil, fmt.Errorf("%d instances on each of %d hosts; at most %d are allowed", most, len(fit), maxOnHost)
	}
	chosen := map[string]int{}
	left := r.On.Count
	for _, name := range fit { // what runs there stays
		chosen[name] = min(r.Hosts[name], most, left)
		left -= chosen[name]
	}
	for ; left > 0; left-- {
		best := slices.MinFunc(fit, func(a, b string) int {
			return cmp.Or(chosen[a]-chosen[b], load[a]-load[b], strings.Compare(a, b))
		})
		chosen[best]++
	}
	maps.DeleteFunc(chosen, func(_ string, n int) bool { return n == 0 })
	return chosen, nil
}

func (s Selector) fits(labels map[string]string) bool {
	for label, value := range s.Labels {
		if labels[label] != value {
			return false
		}
	}
	return true
}

// Named are the hosts on which a plan runs something. p may be nil.
func (p *Plan) Named() map[string]bool {
	hosts := map[string]bool{}
	if p == nil {
		return hosts
	}
	for _, s := range p.Services {
		for _, r := range s.Run {
			for host, n := range r.Hosts {
				if n > 0 {
					hosts[host] = true
				}
			}
		}
	}
	return hosts
}
