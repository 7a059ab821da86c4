package rollout

import (
	"fmt"
	"slices"
)

// Versions of a module with an exclusive strategy may never run at once. Such a
// module changes over after the switch: the old version is drained and loses its
// turn, then every process that ran it stops, and then the version that new
// traces wait for gets the turn. In between, no version has it. A rollback
// changes over in the other direction.

// ChangingOver returns the modules in which the turn has not yet passed to the
// version that new traces are sent to.
func (r Release) ChangingOver(log *Log) []Module {
	var out []Module
	if r.State != Switched && r.State != RollingBack {
		return nil
	}
	for _, m := range r.Modules {
		if rule, ok := log.Rule(m.Service); ok && rule.Strategy.Exclusive() && rule.Turn != rule.Version {
			out = append(out, m)
		}
	}
	return out
}

// RevokeTurn takes the turn from the versions that have it, once they are
// drained. They refuse calls from then on. owners are the processes that run
// them, by service.
func (r Release) RevokeTurn(log *Log, owners map[string][]Owner) (Release, map[string]Rule, []Retirement, error) {
	next, rules := r, map[string]Rule{}
	next.Modules = slices.Clone(r.Modules)
	var retire []Retirement
	for _, m := range r.ChangingOver(log) {
		rule, _ := log.Rule(m.Service)
		if rule.Turn == "" {
			continue // no version has the turn any more
		}
		m.Yielded, m.Owners = rule.Turn, owners[m.Service]
		next.set(m)
		retire = append(retire, Retirement{Service: m.Service, Version: rule.Turn, Floor: r.Since})
		rule.Turn = ""
		rules[m.Service] = rule
	}
	if len(rules) == 0 {
		return r, nil, nil, r.refuse("take the turn back in", "no version of it has a turn to give up; see its status")
	}
	return next, rules, retire, nil
}

// GrantTurn gives the turn to the versions that new traces are sent to. The
// caller must know that the versions which had it before have stopped.
func (r Release) GrantTurn(log *Log) (Release, map[string]Rule, error) {
	next, rules := r, map[string]Rule{}
	next.Modules = slices.Clone(r.Modules)
	for _, m := range r.ChangingOver(log) {
		rule, _ := log.Rule(m.Service)
		if rule.Turn != "" {
			continue
		}
		m.Yielded, m.Owners = "", nil
		next.set(m)
		rule.Turn = rule.Version
		rules[m.Service] = rule
	}
	if len(rules) == 0 {
		return r, nil, r.refuse("pass the turn in", "the outgoing versions must give it up and stop first")
	}
	return next, rules, nil
}

// set replaces the module of the same service.
func (r *Release) set(m Module) {
	i := slices.IndexFunc(r.Modules, func(o Module) bool { return o.Service == m.Service })
	r.Modules[i] = m
}

// CheckTurn returns nil when the version may run now, and errTurn when the
// newest rules give the turn to another version or to none.
func (l *Log) CheckTurn(service, version string) error {
	return l.chains[service].turn(service, version)
}

func (c chain) turn(service, version string) error {
	if len(c) == 0 {
		return nil
	}
	rule := c[len(c)-1].rule
	switch {
	case !rule.Strategy.Exclusive() || rule.Turn == version:
		return nil
	case rule.Turn == "":
		return fmt.Errorf("%w: another version of %s is still stopping", errTurn, service)
	}
	return fmt.Errorf("%w: %s of %s has it", errTurn, rule.Turn, service)
}
