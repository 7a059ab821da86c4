package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/policytext"
	"github.com/skerry/skerry/policy"
)

// ruleRow is one thing that the policy says, as a sentence.
type ruleRow struct {
	Text    phrase        `json:"-"`
	Says    string        `json:"says"` // the sentence in English
	Service string        `json:"-"`
	Key     string        `json:"key"`
	Line    int           `json:"line,omitempty"`
	Plan    string        `json:"plan,omitempty"` // that it is of
	Why     string        `json:"why,omitempty"`
	Ends    time.Duration `json:"-"` // 0: it does not end by itself
	EndsS   float64       `json:"ends_s,omitempty"`
	Form    bool          `json:"-"` // the form of items can change it
}

// ruleGroup is what the policy says about one service. Service is policy.Every for all of them, "" for lanes.
type ruleGroup struct {
	Service string    `json:"service"`
	Rules   []ruleRow `json:"rules"`
	More    int       `json:"more,omitempty"` // that are not shown
}

// Bounds of a page.
const (
	shownRules  = 25 // of a service
	shownEnding = 20
)

// inForce is what a policy says now, by service: what stands for one service first. applied is how long what ends by
// itself has applied.
func inForce(t *policy.Table, applied map[uint64]time.Duration) (groups []ruleGroup) {
	p := t.Policy()
	if p == nil {
		return nil
	}
	names := map[string]bool{}
	for name := range p.Services {
		names[name] = true
	}
	for _, plan := range plansOn(p, applied) {
		for name := range plan.Services {
			names[name] = true
		}
	}
	every := names[policy.Every]
	delete(names, policy.Every)
	list := sorted(names)
	if every {
		list = append(list, policy.Every)
	}
	for _, name := range list {
		if g := groupOf(t, name, applied); len(g.Rules) > 0 {
			groups = append(groups, g)
		}
	}
	lanes := ruleGroup{}
	for i := range p.Lanes {
		lanes.Rules = append(lanes.Rules, itemRow(p, &p.Lanes[i], applied))
	}
	if len(lanes.Rules) > 0 {
		groups = append(groups, lanes)
	}
	return groups
}

// groupOf is what stands in the policy under the name of a service.
func groupOf(t *policy.Table, service string, applied map[uint64]time.Duration) ruleGroup {
	g, p := ruleGroup{Service: service}, t.Policy()
	methods := map[string]bool{"": true}
	add := func(s *policy.Service) {
		if s != nil {
			for m := range s.Methods {
				methods[m] = true
			}
		}
	}
	add(p.Services[service])
	for _, plan := range plansOn(p, applied) {
		add(plan.Services[service])
	}
	for _, m := range sorted(methods) {
		explained := t.Explain(service, &policy.Request{Method: m}, "", policy.Settings{}, policy.Settings{})
		for _, s := range explained.Settings {
			place := "services." + service + "."
			if m != "" {
				place += "methods." + m + "."
			}
			if !strings.HasSuffix(s.From, place+s.Key) {
				continue // it stands for every service, or for the service
			}
			row := ruleRow{Text: settingText(s, m), Service: service, Key: s.From, Line: s.Line, Plan: planOf(s.From)}
			row.Says = row.Text.In(english)
			g.Rules = append(g.Rules, row)
		}
	}
	access, items := t.InForce(service)
	for _, i := range items {
		g.Rules = append(g.Rules, itemRow(p, i, applied))
	}
	if key, there := accessKey(p, service, applied); there && access != nil {
		row := ruleRow{Text: accessText(access), Service: service, Key: key, Line: p.Lines[key], Plan: planOf(key)}
		row.Says = row.Text.In(english)
		g.Rules = append(g.Rules, row)
	}
	return g
}

// plansOn are the plans that are on and have not ended, by name.
func plansOn(p *policy.Policy, applied map[uint64]time.Duration) map[string]*policy.Plan {
	on := map[string]*policy.Plan{}
	for _, o := range p.On {
		if plan := p.Plans[o.Name]; plan != nil && o.Left(applied) != ended {
			on[o.Name] = plan
		}
	}
	return on
}

// ended is what is left of a plan or an item that has ended.
const ended = time.Nanosecond

// accessKey is where the access of a service stands, if it stands under its own name.
func accessKey(p *policy.Policy, service string, applied map[uint64]time.Duration) (key string, there bool) {
	on := plansOn(p, applied)
	for _, o := range slices.Backward(p.On) {
		if plan := on[o.Name]; plan != nil && plan.Services[service] != nil && plan.Services[service].Access != nil {
			return "plans." + o.Name + ".services." + service + ".access", true
		}
	}
	s := p.Services[service]
	return "services." + service + ".access", s != nil && s.Access != nil
}

// planOf is the plan that a key stands in, "" for none.
func planOf(key string) string {
	rest, is := strings.CutPrefix(key, "plans.")
	if name, _, found := strings.Cut(rest, ".services."); is && found {
		return name
	}
	return ""
}

func itemRow(p *policy.Policy, i *policy.Item, applied map[uint64]time.Duration) ruleRow {
	row := ruleRow{Text: itemText(i), Service: i.Service, Key: i.Key, Line: p.Lines[i.Key], Plan: planOf(i.Key),
		Why: cmp.Or(i.Why, i.Name), Ends: i.Left(applied)}
	row.Says, row.EndsS = row.Text.In(english), row.Ends.Seconds()
	at := policytext.Place{Service: i.Service, List: string(i.Kind)}
	_, row.Form = formOfItem(policytext.Found{Place: at, Item: i})
	return row
}

// settingText is a value as a sentence.
func settingText(s policy.Setting, method string) phrase {
	calls := callsText(&policy.Match{Method: list(method)})
	switch s.Key {
	case "retries":
		if s.Value == "0" {
			return say("rule.no-retries", "calls", calls)
		}
		return say("rule.retries", "calls", calls, "n", s.Value)
	case "timeout", "attempt_timeout", "outlier.eject", "outlier.failures":
		return say("rule."+strings.ReplaceAll(s.Key, "_", "-"), "calls", calls, "value", s.Value, "n", s.Value)
	case "zone_first":
		if s.Value == "true" {
			return say("rule.zone-first")
		}
	}
	return say("rule.setting", "calls", calls, "key", s.Key, "value", s.Value)
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// callsText names the calls of a match.
func callsText(m *policy.Match) phrase {
	rest := *m
	rest.Method, rest.Caller = nil, nil
	method, caller := strings.Join(m.Method, ", "), strings.Join(m.Caller, ", ")
	kind := "any"
	switch {
	case method != "" && caller != "":
		kind = "both"
	case method != "":
		kind = "method"
	case caller != "":
		kind = "caller"
	}
	calls := say("rule.calls-"+kind, "method", method, "caller", caller)
	if text := rest.String(); text != "" {
		return say("rule.calls-where", "calls", calls, "rest", text)
	}
	return calls
}

// itemText is an item as a sentence.
func itemText(i *policy.Item) phrase {
	calls := callsText(&i.Match)
	target := policy.Match{Zone: i.To.Zone, Host: i.To.Host, Tag: i.To.Tag}
	where := target.String()
	switch string(i.Kind) {
	case "limits":
		return limitText(i, calls)
	case "allow", "deny":
		rest := i.Match
		rest.Caller, rest.Method = nil, nil
		var by any = strings.Join(i.Match.Caller, ", ")
		if by == "" {
			by = say("rule.any-caller")
		}
		what := i.Service
		if i.Service == policy.Every {
			what = "*"
		}
		if len(i.Match.Method) > 0 {
			what += "." + strings.Join(i.Match.Method, ", ")
		}
		text := say("rule."+string(i.Kind), "caller", by, "what", what)
		if more := rest.String(); more != "" {
			return say("rule.calls-where", "calls", text, "rest", more)
		}
		return text
	case "fallback":
		reply := short(string(i.Reply), 60)
		if slices.Contains(i.On, "always") {
			return say("rule.fallback-always", "calls", calls, "reply", reply)
		}
		return say("rule.fallback", "calls", calls, "codes", strings.Join(i.On, ", "), "reply", reply)
	case "faults":
		if i.Error == "" {
			return say("rule.fault-delay", "calls", calls, "delay", i.Delay)
		}
		return say("rule.fault-error", "calls", calls, "error", i.Error)
	case "mirror":
		return say("rule.mirror", "calls", calls, "mark", i.To.Mark)
	case "route":
		return say("rule.route-"+cmp.Or(i.Else, "none"), "calls", calls, "where", where)
	case "weights":
		return say("rule.weights", "where", where, "weight", i.Weight)
	}
	return say("rule.lane", "calls", calls, "mark", i.Gets)
}

func limitText(i *policy.Item, calls phrase) phrase {
	per := "instance"
	if i.Per == "site" {
		per = "site"
	}
	rest := i.Match
	rest.Caller = nil
	if i.Rate > 0 && i.Pending == 0 && len(i.Match.Caller) > 0 && rest.String() == "" {
		return say("rule.may-"+per, "caller", strings.Join(i.Match.Caller, ", "), "service", i.Service, "rate", i.Rate)
	}
	switch {
	case i.Rate > 0 && i.Pending > 0:
		return say("rule.limit-both-"+per, "calls", calls, "rate", i.Rate, "pending", i.Pending)
	case i.Rate > 0:
		return say("rule.limit-rate-"+per, "calls", calls, "rate", i.Rate)
	}
	return say("rule.limit-pending-"+per, "calls", calls, "pending", i.Pending)
}

// accessText says what becomes of calls that match no item of access.
func accessText(a *policy.Access) phrase {
	key := "rule.access-audit"
	if a.Enforce {
		key = "rule.access-enforce"
	}
	if a.Deny {
		return say(key + "-deny")
	}
	return say(key + "-allow")
}

// short is the beginning of a text.
func short(text string, most int) string {
	r := []rune(text)
	if len(r) <= most {
		return text
	}
	return string(r[:most-1]) + "…"
}
