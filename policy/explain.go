package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Explanation says for one call where each setting comes from, and which items apply.
type Explanation struct {
	Settings []Setting `json:"settings"`
	Items    []Verdict `json:"items"`
}

// Setting is one value with its source.
type Setting struct {
	Key   string `json:"key"`            // such as timeout or breaker.ratio
	Value string `json:"value"`          // as in the configuration
	From  string `json:"from"`           // its place in the policy, "file", or "default"
	Line  int    `json:"line,omitempty"` // in the policy's text
}

// Verdict is what became of one item.
type Verdict struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name,omitempty"`
	Key     string `json:"key"`
	Line    int    `json:"line,omitempty"`
	Applies bool   `json:"applies"`
	Because string `json:"because"`
}

// Explain returns what the policy says about one call. file holds the settings of the process's file, byDefault the
// framework's own. code is the failure that a fallback is asked for, "" for none.
func (t *Table) Explain(service string, q *Request, code string, file, byDefault Settings) Explanation {
	x := &explainer{t: t, q: q, code: code, Explanation: Explanation{Settings: []Setting{}, Items: []Verdict{}}}
	x.settings(service, file, byDefault)
	if t == nil || service == internal {
		return x.Explanation
	}
	x.taken = map[Kind]string{}
	services := t.itemsOf(service)
	for _, k := range kinds {
		if k == weights {
			continue // they are of instances, not of calls
		}
		if k == fallback {
			x.before = x.answering(services)
		}
		for _, s := range services {
			x.items(s.Items, k)
		}
	}
	if q.Mark == "" { // else the trace has begun already
		x.items(t.policy.Lanes, lanes)
	}
	return x.Explanation
}

// itemsOf returns the parts of the policy for a service, those in front first.
func (t *Table) itemsOf(service string) (out []*Service) {
	names := []string{service, Every}
	if service == Every {
		names = names[1:]
	}
	for _, name := range names {
		out = append(out, t.partsOf(name)...)
	}
	return out
}

// partsOf returns the parts of the policy under one name, those in front first.
func (t *Table) partsOf(name string) (out []*Service) {
	for _, on := range slices.Backward(t.policy.On) {
		if plan := t.policy.Plans[on.Name]; plan != nil && plan.Services[name] != nil && !t.over(on) {
			out = append(out, plan.Services[name].of(on))
		}
	}
	if s := t.policy.Services[name]; s != nil {
		out = append(out, s)
	}
	return out
}

// InForce returns the items under a service's name that have not expired, those in front first, and how its access
// lists are used, nil without them. [Every] names what holds for every service.
func (t *Table) InForce(service string) (access *Access, items []*Item) {
	if t == nil || service == internal {
		return nil, nil
	}
	for _, s := range t.partsOf(service) {
		for i := range s.Items {
			if item := &s.Items[i]; item.Expires == 0 || !slices.Contains(t.ended, item.bodyID()) {
				items = append(items, item)
			}
		}
	}
	if r := t.Rules(service, ""); r.guarded {
		a := r.access
		access = &a
	}
	return access, items
}

type explainer struct {
	t     *Table
	q     *Request
	code  string
	taken map[Kind]string // key of the item that counts

	before *Item // the fallback that answers the call before it is sent
	Explanation
}

// settings lists each setting from the first source that has it.
func (x *explainer) settings(service string, file, byDefault Settings) {
	seen := map[string]bool{}
	add := func(s *Settings, from string, line bool) {
		s.each(func(key, value string) {
			if seen[key] {
				return
			}
			seen[key] = true
			found := Setting{Key: key, Value: value, From: from}
			if line {
				found.From = from + "." + key
				found.Line = x.t.policy.Lines[found.From]
			}
			x.Settings = append(x.Settings, found)
		})
	}
	if x.t != nil && service != internal {
		for _, of := range x.t.sources(service, x.q.Method) {
			add(of.settings, of.key, true)
		}
	}
	add(&file, "file", false)
	add(&byDefault, "default", false)
}

type source struct {
	key      string
	settings *Settings
}

// sources are the settings of the policy for a method, those that win first.
func (t *Table) sources(service, method string) (out []source) {
	names := []string{service, Every}
	if service == Every {
		names = names[1:]
	}
	for _, name := range names {
		var methods, services []source
		add := func(key string, s *Service) {
			if s == nil {
				return
			}
			if m, ok := s.Methods[method]; ok {
				methods = append(methods, source{key + ".methods." + method, &m})
			}
			services = append(services, source{key, &s.Settings})
		}
		for _, on := range slices.Backward(t.policy.On) {
			if plan := t.policy.Plans[on.Name]; plan != nil && !t.over(on) {
				add("plans."+on.Name+".services."+name, plan.Services[name])
			}
		}
		add("services."+name, t.policy.Services[name])
		out = append(append(out, methods...), services...)
	}
	return out
}

// over reports whether a plan has ended by itself.
func (t *Table) over(on On) bool { return slices.Contains(t.endedPlans, on.Name) }

// answering returns the fallback that answers the call before it is sent, nil without one.
func (x *explainer) answering(services []*Service) *Item {
	for _, s := range services {
		for i := range s.Items {
			it := &s.Items[i]
			if it.Kind == fallback && slices.Contains(it.On, always) && !x.expired(it) &&
				newRule(it).refuses(x.q) == "" {
				return it
			}
		}
	}
	return nil
}

func (x *explainer) items(items []Item, k Kind) {
	for i := range items {
		if it := &items[i]; it.Kind == k {
			applies, because := x.judge(it)
			if applies && k != limits {
				x.taken[k] = it.Key
			}
			x.Items = append(x.Items, Verdict{Kind: k, Name: it.Name, Key: it.Key, Line: x.t.policy.Lines[it.Key],
				Applies: applies, Because: because})
		}
	}
}

// judge says whether an item applies to the call, and why.
func (x *explainer) judge(it *Item) (applies bool, because string) {
	if x.expired(it) {
		return false, fmt.Sprintf("it expired %v after it began to apply here", it.Expires)
	}
	if because := newRule(it).refuses(x.q); because != "" {
		return false, because
	}
	switch k := it.Kind; {
	case k == fallback && x.before == it:
		return true, "all its conditions hold; it answers the call before it is sent"
	case k == fallback && x.before != nil:
		return false, x.before.Key + " answers the call before it is sent"
	case k == fallback && !slices.Contains(it.On, x.code):
		return false, fmt.Sprintf("it is for calls that fail with %s", strings.Join(it.On, ", "))
	case k == allow && x.taken[deny] != "":
		return false, x.taken[deny] + " matches, and deny wins over allow"
	case k != limits && x.taken[k] != "":
		return false, x.taken[k] + " stands before it and matches"
	case k == lanes:
		gets := "the mark " + it.Gets
		if it.Gets == preview {
			gets = "the mark of the open release, if there is one"
		}
		return true, "all its conditions hold; a user's request that begins with this call gets " + gets
	}
	return true, "all its conditions hold"
}

// expired reports whether the item has ended by itself.
func (x *explainer) expired(it *Item) bool {
	return it.Expires > 0 && slices.Contains(x.t.ended, it.bodyID())
}

// refuses says which condition does not hold, "" when all do.
func (r *rule) refuses(q *Request) string {
	for i := range r.conds {
		if c := &r.conds[i]; !c.of(q) {
			return c.explain(q)
		}
	}
	switch {
	case r.share == whole:
		return ""
	case !q.Seeded:
		return "the call has no trace, by which a percent is drawn"
	case drawn(q.Seed, r.hash) >= r.share:
		return fmt.Sprintf("the trace is none of the %s %% of traces", percentText(int(r.share)))
	}
	return ""
}

func (c *cond) explain(q *Request) string {
	wanted := append([]string{}, c.exact...)
	if c.more != nil {
		for _, p := range c.more.prefixes {
			wanted = append(wanted, p+"*")
		}
		for _, p := range c.more.not {
			wanted = append(wanted, p.String())
		}
	}
	has := c.value(q)
	if has == "" {
		has = "nothing"
	}
	return fmt.Sprintf("%s is %s, the item wants %s", c.field.name(c.key), has, strings.Join(wanted, ", "))
}

// String is the pattern as in the text.
func (p pattern) String() string {
	text := p.text
	if p.prefix {
		text += "*"
	}
	if p.not {
		text = "!" + text
	}
	return text
}

// percentText returns hundredths of a percent as 12.5.
func percentText(n int) string {
	text := fmt.Sprintf("%d.%02d", n/100, n%100)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
