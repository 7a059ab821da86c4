package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/policy"
)

// listedPolicy is what ls says of the site's policy.
type listedPolicy struct {
	Number   uint64          `json:"number"` // 0: none
	By       string          `json:"by,omitempty"`
	Services []servicePolicy `json:"services"`            // those of which it says more than settings
	ObeyNone []string        `json:"obey_none,omitempty"` // processes that are told to obey no policy

	title string
}

// servicePolicy is what holds for the calls of one service, "*" for every.
type servicePolicy struct {
	Service string   `json:"service"`
	Rules   []string `json:"rules"`
}

// lookAtPolicy learns the policy of the site, and looks once more at what it does to the instances of a look.
func (a *app) lookAtPolicy(ctx context.Context, n *skerry.Node, service string, l *listing) {
	ctx, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	e := control.NewPolicies(n, control.Operator{}).Learn(ctx)
	p := &listedPolicy{Number: e.Number, By: e.By, Services: []servicePolicy{}, ObeyNone: n.Membership().ObeyNone(),
		title: policychange.Title(e)}
	if e.Number > 0 {
		_ = run.Sleep(ctx, lookPeriod) // the lists get its weights a moment later
		l.Instances = n.Explain(service)
	}
	if e.Confirm > 0 {
		p.title += fmt.Sprintf(", to be confirmed within %s of %s", durationText(e.Confirm),
			e.At.Local().Format("15:04:05"))
	}
	table := n.Membership().Policy().Table()
	every, _ := table.InForce(policy.Every)
	p.add(table, policy.Every, nil)
	var names []string
	for _, e := range l.Instances {
		names = append(names, e.Service)
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		p.add(table, name, every)
	}
	l.Policy = p
}

// add adds what holds for a service. every is how access lists are used where the service does not say it.
func (p *listedPolicy) add(table *policy.Table, service string, every *policy.Access) {
	access, items := table.InForce(service)
	var rules []string
	if access != nil && (every == nil || *access != *every) {
		rules = append(rules, accessMode(*access))
	}
	counts := map[policy.Kind]int{}
	for _, i := range items {
		switch counts[i.Kind]++; i.Kind {
		case "limits":
			rules = append(rules, limitText(i))
		case "faults":
			rules = append(rules, faultText(i))
		}
	}
	for _, k := range []struct {
		kind        policy.Kind
		one, plural string
	}{{"route", "route", "s"}, {"fallback", "fallback", "s"}, {"mirror", "mirror", "s"}, {"weights", "weight", "s"}} {
		if n := counts[k.kind]; n > 0 {
			rules = append(rules, count(n, k.one, k.plural))
		}
	}
	if len(rules) > 0 {
		p.Services = append(p.Services, servicePolicy{service, rules})
	}
}

func accessMode(a policy.Access) string {
	mode, others := "audited", "allowed"
	if a.Enforce {
		mode = "enforced"
	}
	if a.Deny {
		others = "denied"
	}
	return "access " + mode + " (others are " + others + ")"
}

func limitText(i *policy.Item) string {
	var parts []string
	if i.Pending > 0 {
		parts = append(parts, strconv.Itoa(i.Pending)+" calls at a time")
	}
	if i.Rate > 0 {
		parts = append(parts, strconv.Itoa(i.Rate)+" calls a second")
	}
	return "limit " + strings.Join(parts, " and ") + " per " + i.Per + ofCalls(i)
}

func faultText(i *policy.Item) string {
	var parts []string
	if i.Delay > 0 {
		parts = append(parts, durationText(i.Delay)+" of delay")
	}
	if i.Error != "" {
		parts = append(parts, i.Error)
	}
	return "fault " + strings.Join(parts, " and ") + ofCalls(i)
}

// ofCalls says which calls an item is for, "" for all.
func ofCalls(i *policy.Item) string {
	if m := i.Match.String(); m != "" {
		return " (" + m + ")"
	}
	return ""
}

// obeyNoneText stands at the instances of a process that obeys no policy.
const obeyNoneText = "OBEYS NO POLICY"

// policyWhy says what the policy does to an instance, beside its state.
func (p *listedPolicy) policyWhy(e discovery.Entry) string {
	if p != nil && slices.Contains(p.ObeyNone, e.Owner) {
		return obeyNoneText
	}
	return ""
}

// printListedPolicy prints what the policy says about the listed services.
func (a *app) printListedPolicy(p *listedPolicy) {
	if p == nil {
		return
	}
	if p.Number > 0 && len(p.Services) > 0 {
		a.printf("\n")
		a.item("", "By policy %s:", p.title)
		for _, s := range p.Services {
			name := s.Service
			if name == policy.Every {
				name = "every service"
			}
			a.item("  ", "%s: %s", name, strings.Join(s.Rules, "; "))
		}
	}
	for _, process := range p.ObeyNone {
		a.note("%s obeys no policy of the site, its access lists and limits neither: it is told so by policy.obey in "+
			"its file, or by SKERRY_POLICY", process)
	}
}
