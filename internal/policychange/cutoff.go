package policychange

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policytext"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
)

// CommandCaller is the name of the command line at servers.
const CommandCaller = "skerry-cli"

// caller is a caller that an access list may refuse.
type caller struct {
	policy.Request
	what  string // it is, such as "the gateway h3/412"; "" for a service of the site
	calls map[string]int64
}

// cutsOff says which callers that may call now a policy would refuse: faults for gateways, programs behind proxies and
// the operator's own tools, notes for the others. accepted says of an item's key that the operator has accepted it.
func (s *Site) cutsOff(
	ctx context.Context, then *policy.Table, listed []discovery.Entry, accepted func(key string) bool,
) (faults, notes []string, err error) {
	services := enforced(then, listed)
	if len(services) == 0 {
		return nil, nil, nil
	}
	now, err := s.Table()
	if err != nil {
		return nil, nil, err
	}
	known, err := s.Callers(ctx)
	if err != nil {
		return nil, nil, unreachablef("find the processes: %w", err)
	}
	faults, notes = judgeCallers(now, then, services, callersOf(known, listed), accepted)
	return faults, notes, nil
}

// enforced names the services with an access list that refuses calls: those of the policy, and those that are listed.
func enforced(t *policy.Table, listed []discovery.Entry) (services []string) {
	names := map[string]bool{}
	if p := t.Policy(); p != nil {
		for name := range p.Services {
			names[name] = true
		}
	}
	for _, e := range listed {
		names[e.Service] = true
	}
	delete(names, policy.Every)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if access, _ := t.InForce(name); access != nil && access.Enforce {
			services = append(services, name)
		}
	}
	return services
}

// callersOf are the callers of the site with the operator's own tools.
func callersOf(known []control.Caller, listed []discovery.Entry) (list []caller) {
	for _, c := range known {
		p := caller{Request: policy.Request{Caller: c.Name}, calls: c.Calls}
		if c.Gateway {
			p.what = "the gateway " + c.Process
		}
		for _, e := range listed {
			if e.Owner == c.Process {
				p.Zone, p.CallerVersion, p.Tags = e.Zone, e.Version, e.Tags
				if program := e.Tags[registry.TagProgram]; program != "" && p.what == "" {
					p.what = "the program " + program + " behind the proxy " + c.Process
				}
			}
		}
		list = append(list, p)
	}
	return append(list, caller{Request: policy.Request{Caller: CommandCaller}, what: "skerry call"})
}

// judgeCallers compares what callers may call by two tables. Of a caller with counts those services matter that it has
// called.
func judgeCallers(
	now, then *policy.Table, services []string, callers []caller, accepted func(key string) bool,
) (faults, notes []string) {
	said := map[string]bool{}
	for _, service := range services {
		for _, c := range callers {
			if c.calls != nil && c.calls[service] == 0 || !mayCall(now, service, c.Request) ||
				mayCall(then, service, c.Request) {
				continue
			}
			key := refusedBy(then, service, c.Request)
			what := c.Caller
			if c.what != "" {
				what += " (" + c.what + ")"
			}
			text := key + ": it would refuse all calls of " + service + " by " + what
			if c.calls != nil {
				text += fmt.Sprintf(", which has made %d", c.calls[service])
			}
			if said[text] {
				continue
			}
			said[text] = true
			cure := fmt.Sprintf("add {caller: %s} to allow", policytext.ASCII(c.Caller))
			if !strings.HasSuffix(key, ".access") {
				cure = "narrow the item"
			}
			if c.what == "" || accepted(key) {
				notes = append(notes, "note: "+text)
			} else {
				faults = append(faults, text+"; "+cure+", or apply it with --confirm 10m")
			}
		}
	}
	return faults, notes
}

// mayCall reports whether a caller may call any method of a service.
func mayCall(t *policy.Table, service string, q policy.Request) bool {
	if t == nil {
		return true
	}
	may := false
	t.Each(service, func(method string, r *policy.Rules) {
		q.Method = cmp.Or(method, anyMethod)
		allowed, enforced, _ := r.Access(&q)
		may = may || allowed || !enforced
	})
	return may
}

// anyMethod stands for a method that the policy does not name.
const anyMethod = "\x00"

// refusedBy is the key of the item that refuses a caller's calls, or of the access list that refuses them by default.
func refusedBy(t *policy.Table, service string, q policy.Request) string {
	q.Method = anyMethod
	if _, _, by := t.Rules(service, "").Access(&q); by != nil {
		return by.Key
	}
	p := t.Policy()
	for _, on := range p.On {
		plan := p.Plans[on.Name]
		if plan != nil && plan.Services[service] != nil && plan.Services[service].Access != nil {
			return "plans." + on.Name + ".services." + service + ".access"
		}
	}
	if s := p.Services[service]; s != nil && s.Access != nil {
		return "services." + service + ".access"
	}
	return "services." + policy.Every + ".access"
}
