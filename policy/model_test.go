package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/chance"
)

// A small world: few values, so that random policies often meet random calls.
var (
	worldMethods = []string{"get", "getAll", "put"}
	worldCallers = []string{"", "web", "webhook", "job"}
	worldMarks   = []string{"", "drill"}
	worldTenants = []string{"", "t7", "t9"}
)

func worldRequests() (all []Request) {
	for _, m := range worldMethods {
		for _, c := range worldCallers {
			for _, k := range worldMarks {
				for _, t := range worldTenants {
					q := Request{Method: m, Caller: c, Mark: k, Zone: "z1", Seed: uint64(len(all)), Seeded: true}
					if t != "" {
						q.Baggage = "a=b, tenant=" + t + ";p=1"
					}
					all = append(all, q)
				}
			}
		}
	}
	return all
}

func drawList(r *rand.Rand, of ...string) (list []string) {
	for range r.IntN(3) {
		list = append(list, of[r.IntN(len(of))])
	}
	return list
}

func drawMatch(r *rand.Rand) (m Match) {
	m.Method = drawList(r, "get", "put", "get*", "!get", "!getA*", "*")
	m.Caller = drawList(r, "web", "job", "web*", "!web", "!job", "")
	if r.IntN(3) == 0 {
		m.Mark = drawList(r, "drill", "!drill")
	}
	if r.IntN(3) == 0 {
		m.Baggage = map[string][]string{"tenant": drawList(r, "t7", "t*", "!t9")}
	}
	if r.IntN(6) == 0 {
		percent := r.IntN(whole + 1)
		m.Percent = &percent
	}
	return m
}

func drawService(r *rand.Rand, name string) *Service {
	s := &Service{Methods: map[string]Settings{}}
	draw := func() *int {
		if r.IntN(2) == 0 {
			return nil
		}
		return new(r.IntN(5))
	}
	s.Retries, s.MaxRate = draw(), draw()
	if name != Every {
		for _, m := range worldMethods {
			if r.IntN(2) == 0 {
				s.Methods[m] = Settings{Retries: draw(), MaxRate: draw()}
			}
		}
	}
	if r.IntN(2) == 0 {
		s.Access = &Access{Enforce: r.IntN(2) == 0, Deny: r.IntN(2) == 0}
	}
	for n := range r.IntN(8) {
		i := Item{Kind: kinds[r.IntN(len(kinds))], Service: name, Key: fmt.Sprint("services.", name, ".items[", n, "]")}
		if i.Kind == weights {
			i.To, i.Weight = Target{Host: drawList(r, "h1", "h*", "!h2"), Zone: drawList(r, "z1", "z2")}, r.IntN(200)
		} else {
			i.Match = drawMatch(r)
		}
		i.On = drawList(r, "timeout", always)
		s.Items = append(s.Items, i)
	}
	return s
}

func drawPolicy(r *rand.Rand) *Policy {
	p := &Policy{Services: map[string]*Service{}, Plans: map[string]*Plan{}}
	for _, name := range []string{"auth", Every} {
		if r.IntN(4) > 0 {
			p.Services[name] = drawService(r, name)
		}
	}
	for _, plan := range []string{"storm", "launch"} {
		if r.IntN(2) == 0 {
			p.Plans[plan] = &Plan{Services: map[string]*Service{"auth": drawService(r, "auth")}}
		}
		if r.IntN(2) == 0 {
			p.On = append(p.On, On{Name: plan})
		}
	}
	return p
}

// slow is the meaning of a policy, in the fewest words. Each switch takes one rule out of it.
type slow struct {
	noNot, noPrefix, allHold, onlyFirstLimit, allowWins, everyFirst, serviceOverMethod, plansBehind bool
}

func (s slow) value(list []string, v string) bool {
	if len(list) == 0 {
		return true
	}
	positive, found := false, false
	for _, want := range list {
		want, not := strings.CutPrefix(want, "!")
		is := want == v
		if prefix, ok := strings.CutSuffix(want, "*"); ok && !s.noPrefix {
			is = strings.HasPrefix(v, prefix)
		}
		switch {
		case not && is && !s.noNot:
			return false
		case !not:
			positive, found = true, found || is
		}
	}
	return found || !positive
}

func (s slow) match(i *Item, q *Request) bool {
	tenant := ""
	if _, after, ok := strings.Cut(q.Baggage, "tenant="); ok {
		tenant, _, _ = strings.Cut(after, ";")
	}
	m := &i.Match
	all := []bool{s.value(m.Method, q.Method), s.value(m.Caller, q.Caller), s.value(m.Mark, q.Mark),
		s.value(m.Baggage["tenant"], tenant)}
	if s.allHold {
		return slices.Contains(all, true)
	}
	if m.Percent != nil && *m.Percent < whole && drawn(q.Seed, newRule(i).hash) >= uint32(*m.Percent) {
		return false
	}
	return !slices.Contains(all, false)
}

// services are the parts for a service, those that win first.
func (s slow) services(p *Policy, name string) (out []*Service) {
	names := []string{name, Every}
	if s.everyFirst {
		slices.Reverse(names)
	}
	for _, n := range names {
		var own []*Service
		for _, on := range p.On {
			if plan := p.Plans[on.Name]; plan != nil && plan.Services[n] != nil {
				own = append([]*Service{plan.Services[n]}, own...)
			}
		}
		if base := p.Services[n]; base != nil {
			if s.plansBehind {
				own = append([]*Service{base}, own...)
			} else {
				own = append(own, base)
			}
		}
		out = append(out, own...)
	}
	return out
}

// says is all that a policy says about a call.
func (s slow) says(p *Policy, q *Request) string {
	services := s.services(p, "auth")
	var b strings.Builder
	for _, k := range []Kind{route, faults, mirror} {
		fmt.Fprintln(&b, k, key(s.first(services, k, q, "")))
	}
	fmt.Fprintln(&b, "fallback", key(s.first(services, fallback, q, "timeout")))
	var held []string
	for _, part := range services {
		for i := range part.Items {
			if it := &part.Items[i]; it.Kind == limits && s.match(it, q) {
				held = append(held, it.Key)
			}
		}
	}
	if s.onlyFirstLimit && len(held) > 1 {
		held = held[:1]
	}
	fmt.Fprintln(&b, "limits", held)
	s.access(&b, services, q)
	pick := func(of func(*Settings) *int) (found *int) {
		var levels []*int
		for _, every := range []bool{false, true} {
			var methods, whole []*int
			for _, part := range services {
				if (part == p.Services[Every]) != every {
					continue
				}
				if m, ok := part.Methods[q.Method]; ok {
					methods = append(methods, of(&m))
				}
				whole = append(whole, of(&part.Settings))
			}
			if s.serviceOverMethod {
				methods, whole = whole, methods
			}
			levels = append(append(levels, methods...), whole...)
		}
		for _, l := range levels {
			if l != nil {
				return l
			}
		}
		return nil
	}
	fmt.Fprintln(&b, "retries", number(pick(func(s *Settings) *int { return s.Retries })),
		"max_rate", number(pick(func(s *Settings) *int { return s.MaxRate })))
	return b.String()
}

func (s slow) access(b *strings.Builder, services []*Service, q *Request) {
	var a *Access
	for _, part := range services {
		if a == nil {
			a = part.Access
		}
	}
	if a == nil {
		fmt.Fprintln(b, "access true false -")
		return
	}
	denied, allowed := s.first(services, deny, q, ""), s.first(services, allow, q, "")
	switch {
	case denied != nil && (allowed == nil || !s.allowWins):
		fmt.Fprintln(b, "access", false, a.Enforce, denied.Key)
	case allowed != nil:
		fmt.Fprintln(b, "access", true, a.Enforce, allowed.Key)
	default:
		fmt.Fprintln(b, "access", !a.Deny, a.Enforce, "-")
	}
}

func (s slow) first(services []*Service, k Kind, q *Request, code string) *Item {
	for _, part := range services {
		for i := range part.Items {
			it := &part.Items[i]
			if it.Kind == k && s.match(it, q) && (code == "" || slices.Contains(it.On, code)) {
				return it
			}
		}
	}
	return nil
}

func key(i *Item) string {
	if i == nil {
		return "-"
	}
	return i.Key
}

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// says is what the table says about a call, in the words of slow.
func says(t *Table, q *Request) string {
	r := t.Rules("auth", q.Method)
	var b strings.Builder
	fmt.Fprintln(&b, "route", key(r.Route(q)))
	fmt.Fprintln(&b, "faults", key(r.Fault(q)))
	fmt.Fprintln(&b, "mirror", key(r.Mirror(q)))
	fmt.Fprintln(&b, "fallback", key(r.Fallback(q, "timeout")))
	var held []string
	for _, l := range r.Limits(q, nil) {
		held = append(held, l.Key)
	}
	fmt.Fprintln(&b, "limits", held)
	allowed, enforced, by := r.Access(q)
	fmt.Fprintln(&b, "access", allowed, enforced, key(by))
	fmt.Fprintln(&b, "retries", number(r.Retries), "max_rate", number(r.MaxRate))
	return b.String()
}

// difference plays random policies until the table and a model differ; "" when they never do.
func difference(t *testing.T, model slow, policies int) string {
	r := chance.Rand(t, 13)
	requests := worldRequests()
	for range policies {
		p := drawPolicy(r)
		table := Compile(p, nil, 0)
		for i := range requests {
			if got, want := says(table, &requests[i]), model.says(p, &requests[i]); got != want {
				return fmt.Sprintf("call %+v:\nthe table says\n%s\nthe model says\n%s", requests[i], got, want)
			}
		}
	}
	return ""
}

// TestTableMeansTheModel searches for a call that the table decides in another way than the model.
func TestTableMeansTheModel(t *testing.T) {
	if found := difference(t, slow{}, 600); found != "" {
		t.Error(found)
	}
}

// TestSearchFindsEachRule takes one rule at a time out of the model: the search must notice.
func TestSearchFindsEachRule(t *testing.T) {
	for name, mutant := range map[string]slow{
		`"!" means nothing`:             {noNot: true},
		`"*" is a letter`:               {noPrefix: true},
		"one condition is enough":       {allHold: true},
		"one limit holds":               {onlyFirstLimit: true},
		"allow wins over deny":          {allowWins: true},
		`"*" stands before the service`: {everyFirst: true},
		"service over method":           {serviceOverMethod: true},
		"plans stand behind":            {plansBehind: true},
	} {
		if difference(t, mutant, 600) == "" {
			t.Errorf("%s: the search found no difference", name)
		}
	}
}

// TestExplanationsAreTrue: an explanation says that an item applies exactly where the table uses it, and gives the
// settings that the table has.
func TestExplanationsAreTrue(t *testing.T) {
	r := chance.Rand(t, 17)
	requests := worldRequests()
	for range 400 {
		p := drawPolicy(r)
		table := Compile(p, nil, 0)
		q := &requests[r.IntN(len(requests))]
		rules := table.Rules("auth", q.Method)
		x := table.Explain("auth", q, "timeout", Settings{Retries: new(7)}, Settings{Balancer: new("p2c")})
		_, _, by := rules.Access(q)
		fallback := rules.Fallback(q, always)
		if fallback == nil {
			fallback = rules.Fallback(q, "timeout")
		}
		used := []string{key(rules.Route(q)), key(rules.Fault(q)), key(rules.Mirror(q)), key(fallback)}
		for _, l := range rules.Limits(q, nil) {
			used = append(used, l.Key)
		}
		for _, v := range x.Items {
			if v.Because == "" || v.Kind == allow || v.Kind == deny {
				continue
			}
			if v.Applies != slices.Contains(used, v.Key) && !ambiguous(p, v.Key) {
				t.Fatalf("%s applies: %v (%s), the table uses %v\n%+v", v.Key, v.Applies, v.Because, used, q)
			}
		}
		if by != nil && !ambiguous(p, by.Key) {
			n := slices.IndexFunc(x.Items, func(v Verdict) bool { return v.Key == by.Key && v.Applies })
			if n < 0 && rules.guarded {
				t.Fatalf("the table decides by %s, the explanation does not: %+v", by.Key, x.Items)
			}
		}
		want := "7"
		if rules.Retries != nil {
			want = number(rules.Retries)
		}
		n := slices.IndexFunc(x.Settings, func(s Setting) bool { return s.Key == "retries" })
		if n < 0 || x.Settings[n].Value != want || (x.Settings[n].From == "file") != (rules.Retries == nil) {
			t.Fatalf("settings %+v, want retries %s", x.Settings, want)
		}
	}
}

// ambiguous reports whether the random policy gives a key to several items: in a service and in plans of it.
func ambiguous(p *Policy, key string) bool {
	n := 0
	p.items(func(i *Item) {
		if i.Key == key {
			n++
		}
	})
	return n > 1
}
