package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// clone returns a copy. Its services and versions may be changed.
func (p *Plan) clone() *Plan {
	next := *p
	next.Services = make(map[string]Service, len(p.Services))
	for name, s := range p.Services {
		s.Run = maps.Clone(s.Run)
		next.Services[name] = s
	}
	return &next
}

// edit returns the plan with one service changed.
func (p *Plan) edit(name string, change func(*Service) error) (*Plan, error) {
	next := p.clone()
	s, ok := next.Services[name]
	if !ok {
		return nil, fmt.Errorf("the plan has no service %q; it has %s", name, list(p.Services))
	}
	if err := change(&s); err != nil {
		return nil, err
	}
	next.Services[name] = s
	return next, nil
}

// Beside returns the plan with another version of a service, on the hosts of one that runs. like names that one; it may
// be empty when there is only one. The new version has no artifacts until [Plan.Resolve] finds them.
func (p *Plan) Beside(service, version, like string) (*Plan, error) {
	return p.edit(service, func(s *Service) error {
		if _, is := s.Run[version]; is {
			return fmt.Errorf("%s/%s is in the plan already", service, version)
		}
		if like == "" && len(s.Run) == 1 {
			like = slices.Collect(maps.Keys(s.Run))[0]
		}
		old, ok := s.Run[like]
		if !ok {
			return fmt.Errorf("the hosts of %s/%s: name the version of which it takes them; the plan has %s", service,
				version, list(s.Run))
		}
		s.Run[version] = Run{Hosts: maps.Clone(old.Hosts), On: old.On}
		return nil
	})
}

// Without returns the plan without a version of a service; its other versions and its settings stay.
func (p *Plan) Without(service, version string) (*Plan, error) {
	return p.edit(service, func(s *Service) error {
		if _, is := s.Run[version]; !is {
			return fmt.Errorf("the plan has no %s/%s; it has %s", service, version, list(s.Run))
		}
		delete(s.Run, version)
		return nil
	})
}

// Scale returns the plan with other numbers of instances on some hosts. A host with 0 goes. A selector goes as well: it
// would choose otherwise.
func (p *Plan) Scale(service, version string, hosts map[string]int) (*Plan, error) {
	return p.edit(service, func(s *Service) error {
		r, ok := s.Run[version]
		if !ok {
			return fmt.Errorf("the plan has no %s/%s; it has %s", service, version, list(s.Run))
		}
		if r.Hosts = maps.Clone(r.Hosts); r.Hosts == nil {
			r.Hosts = map[string]int{}
		}
		maps.Copy(r.Hosts, hosts)
		maps.DeleteFunc(r.Hosts, func(_ string, n int) bool { return n == 0 })
		r.On = Selector{}
		s.Run[version] = r
		return nil
	})
}

// Restart returns the plan by which each instance of a service is stopped and started, one after the other on each
// host.
func (p *Plan) Restart(service string) (*Plan, error) {
	return p.edit(service, func(s *Service) error {
		s.Restarts++
		return nil
	})
}

func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
