package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/registry"
)

// hidden are the items of a list that Check says can never apply.
func hidden(items []Item) map[string]bool {
	c := &checker{p: &Policy{}}
	c.shadowed(items)
	out := map[string]bool{}
	for _, f := range c.found {
		out[f.Key] = true
	}
	return out
}

// wrongly plays random lists until the verdict on them is refuted by a call of the small world; "" when none is.
func wrongly(t *testing.T, verdict func([]Item) map[string]bool) string {
	r := chance.Rand(t, 19)
	requests := worldRequests()
	for i := range requests {
		requests[i].Seed = r.Uint64()
	}
	for range 2000 {
		var items []Item
		for n := range 2 + r.IntN(3) {
			items = append(items, Item{Kind: route, Key: fmt.Sprint(n), Match: drawMatch(r)})
		}
		matched, first := make([]int, len(items)), make([]int, len(items))
		rules := make([]*rule, len(items))
		for n := range items {
			rules[n] = newRule(&items[n])
		}
		for q := range requests {
			taken := false
			for n, r := range rules {
				if r.matches(&requests[q]) {
					matched[n]++
					if !taken {
						taken = true
						first[n]++
					}
				}
			}
		}
		said := verdict(items)
		for n := range items {
			if matched[n] == 0 {
				continue // no call of the world is of it: nothing is proved
			}
			applies, coveredByOne := first[n], false
			for before := range n {
				same := items[before].Match.text() == items[n].Match.text() && items[before].Match.Percent == nil
				coveredByOne = coveredByOne || same
			}
			switch {
			case said[items[n].Key] && applies > 0:
				return fmt.Sprintf("item %d of %+v is said to be hidden, and applies to %d calls", n, items, applies)
			case !said[items[n].Key] && coveredByOne:
				return fmt.Sprintf("item %d of %+v is not said to be hidden, and equals one before it", n, items)
			}
		}
	}
	return ""
}

func TestHiddenItemsNeverApply(t *testing.T) {
	if found := wrongly(t, hidden); found != "" {
		t.Error(found)
	}
}

// TestSearchFindsWrongVerdicts gives the search verdicts that leave a part of the matching out.
func TestSearchFindsWrongVerdicts(t *testing.T) {
	change := func(f func(m *Match)) func([]Item) map[string]bool {
		return func(items []Item) map[string]bool {
			changed := slices.Clone(items)
			for i := range changed {
				f(&changed[i].Match)
			}
			return hidden(changed)
		}
	}
	positive := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return v[:min(1, len(v))] == "!" })
	}
	for name, mutant := range map[string]func([]Item) map[string]bool{
		"nothing is hidden":       func([]Item) map[string]bool { return nil },
		"percents mean nothing":   change(func(m *Match) { m.Percent = nil }),
		"callers mean nothing":    change(func(m *Match) { m.Caller = nil }),
		"marks mean nothing":      change(func(m *Match) { m.Mark = nil }),
		"tenants mean nothing":    change(func(m *Match) { m.Baggage = nil }),
		`"!" of a caller is lost`: change(func(m *Match) { m.Caller = positive(m.Caller) }),
		`"!" of a method is lost`: change(func(m *Match) { m.Method = positive(m.Method) }),
		"prefixes are words": change(func(m *Match) {
			for i, v := range m.Method {
				if v == "get*" {
					m.Method = slices.Clone(m.Method)
					m.Method[i] = "get"
				}
			}
		}),
	} {
		if wrongly(t, mutant) == "" {
			t.Errorf("%s: the search found nothing", name)
		}
	}
}

// TestSetsOfValues compares the algebra of conditions with the values of the small world.
func TestSetsOfValues(t *testing.T) {
	r := chance.Rand(t, 23)
	world := []string{"", "g", "get", "getAll", "getAlpha", "put", "x"}
	in := func(v values, s string) bool {
		return slices.ContainsFunc(v.pieces, func(p pattern) bool { return p.has(s) }) &&
			!slices.ContainsFunc(v.holes, func(p pattern) bool { return p.has(s) })
	}
	for range 10_000 {
		a := drawList(r, "get", "get*", "getA*", "g*", "!get", "!getA*", "put", "!g*", "*")
		b := drawList(r, "get", "get*", "getA*", "g*", "!get", "!getA*", "put", "!g*", "*")
		va, vb := parseValues(a), parseValues(b)
		both, inside := false, true
		for _, s := range world {
			if listHas(a, s) != in(va, s) {
				t.Fatalf("%q in %q: %v", s, a, in(va, s))
			}
			both = both || in(va, s) && in(vb, s)
			inside = inside && (!in(va, s) || in(vb, s))
		}
		if both && !va.meets(vb, nil) {
			t.Fatalf("%q and %q share a value, and meets says no", a, b)
		}
		if va.within(vb, nil) && !inside {
			t.Fatalf("within(%q, %q), and a value of the first is not in the second", a, b)
		}
	}
}

func findings(p *Policy) string {
	var lines []string
	for _, f := range Check(p) {
		kind := "fault"
		if f.Note {
			kind = "note"
		}
		lines = append(lines, kind+" "+f.Key+": "+f.Text)
	}
	return strings.Join(lines, "\n")
}

func TestCheck(t *testing.T) {
	service := func(change func(*Service)) *Policy {
		s := &Service{Methods: map[string]Settings{}}
		change(s)
		for i := range s.Items {
			s.Items[i].Service, s.Items[i].Key = "auth", fmt.Sprintf("services.auth.%s[%d]", s.Items[i].Kind, i)
		}
		return &Policy{Services: map[string]*Service{"auth": s}}
	}
	items := func(list ...Item) *Policy { return service(func(s *Service) { s.Items = list }) }
	percent := func(n int) Match { return Match{Percent: &n} }
	for name, c := range map[string]struct {
		p    *Policy
		want string
	}{
		"nothing": {items(), ""},
		"attempt over timeout": {service(func(s *Service) {
			s.Timeout, s.AttemptTimeout = new(time.Second), new(time.Second)
		}), "so no attempt ever ends"},
		"short timeout": {service(func(s *Service) { s.Timeout = new(100 * time.Millisecond) }),
			"note services.auth.timeout: 100ms is shorter"},
		"retries of all": {&Policy{Services: map[string]*Service{
			Every: {Settings: Settings{Idempotent: []string{"*"}}},
		}}, "executed twice"},
		"retries, not twice": {service(func(s *Service) { s.Methods["get"] = Settings{Retries: new(2)} }),
			"note services.auth.methods.get.retries: get is not declared idempotent"},
		"too many retries": {service(func(s *Service) { s.Retries = new(11) }), "11 is not in 0..10"},
		"balancer":         {service(func(s *Service) { s.Balancer = new("p3c") }), "did you mean p2c?"},
		"own service":      {&Policy{Services: map[string]*Service{internal: {}}}, "no policy touches"},
		"method of all": {&Policy{Services: map[string]*Service{Every: {Methods: map[string]Settings{"get": {}}}}},
			"at the service that has them"},
		"method with a star": {service(func(s *Service) { s.Methods["get*"] = Settings{} }), "no name of a method"},
		"no per":             {items(Item{Kind: limits, Rate: 3}), "per is missing"},
		"limits nothing":     {items(Item{Kind: limits, Per: "site"}), "it limits nothing"},
		"burst alone":        {items(Item{Kind: limits, Pending: 1, Burst: 3, Per: "site"}), "burst belongs to rate"},
		"percent of a limit": {items(Item{Kind: limits, Rate: 3, Per: "site", Match: percent(500)}),
			"can't leave calls out by chance"},
		"route without else": {items(Item{Kind: route, To: Target{Zone: []string{"z"}}}), "else is missing"},
		"route to nowhere":   {items(Item{Kind: route, Else: "all"}), "to says nowhere"},
		"shadowed": {items(
			Item{Kind: route, Else: "all", To: Target{Zone: []string{"z"}}, Match: Match{Caller: []string{"w*"}}},
			Item{Kind: route, Else: "all", To: Target{Zone: []string{"y"}},
				Match: Match{Caller: []string{"web"}, Mark: []string{"m"}}}),
			"fault services.auth.route[1]: it never applies: services.auth.route[0]"},
		"two weights": {items(Item{Kind: weights, To: Target{Host: []string{"h1"}}},
			Item{Kind: weights, To: Target{Zone: []string{"z"}}}), "so neither wins"},
		"fault for ever": {items(Item{Kind: faults, Delay: time.Second}), "it must end by itself"},
		"fault for long": {items(Item{Kind: faults, Delay: time.Second, Expires: 25 * time.Hour}),
			"ends after 24h"},
		"fault of nothing": {items(Item{Kind: faults, Expires: time.Hour}), "it does nothing"},
		"unknown error": {items(Item{Kind: faults, Error: "unavailible", Expires: time.Hour}),
			"did you mean unavailable?"},
		"always for ever": {items(Item{Kind: fallback, On: []string{always}, Reply: []byte("{}")}),
			"it must end by itself"},
		"unknown code": {items(Item{Kind: fallback, On: []string{"timeoutt"}, Reply: []byte("{}")}),
			"did you mean timeout?"},
		"mirror of all": {items(Item{Kind: mirror, To: Target{Mark: "m"}, Expires: time.Hour}),
			"names the methods"},
		"mirror that writes": {items(Item{Kind: mirror, To: Target{Mark: "m"}, Expires: time.Hour,
			Match: Match{Method: []string{"put"}}}), "only such methods may be mirrored"},
		"header within": {items(Item{Kind: limits, Rate: 1, Per: "site",
			Match: Match{Header: map[string][]string{"X": {"1"}}}}), "known at roots only"},
		"no call": {items(Item{Kind: limits, Rate: 1, Per: "site",
			Match: Match{Caller: []string{"a", "!a"}}}), "no call can match it"},
		"star inside": {items(Item{Kind: limits, Rate: 1, Per: "site", Match: Match{Caller: []string{"a*b"}}}),
			"* stands at the end only"},
		"one name for two": {items(Item{Kind: limits, Rate: 1, Per: "site", Name: "n"},
			Item{Kind: limits, Rate: 2, Per: "site", Name: "n"}), "is the name of services.auth.limits[0] already"},
		"enforced against all": {service(func(s *Service) { s.Access = &Access{Enforce: true, Deny: true} }),
			"it refuses every call"},
		"access of nothing": {service(func(s *Service) { s.Access = &Access{} }),
			"note services.auth.access: it refuses nothing"},
		"allow that is refused": {service(func(s *Service) {
			s.Access = &Access{Deny: true}
			s.Items = []Item{{Kind: allow, Match: Match{Caller: []string{"web"}}},
				{Kind: deny, Match: Match{Caller: []string{"w*"}}}}
		}), "it never applies: services.auth.deny[1] refuses"},
		"caller of a lane": {&Policy{Lanes: []Item{{Kind: lanes, Name: "a", Gets: "a", Key: "lanes[0]",
			Match: Match{Caller: []string{"x"}}}}}, "a lane begins with a user's request"},
		"host of a fault": {items(Item{Kind: faults, Delay: time.Second, Expires: time.Hour,
			Match: Match{Host: []string{"h3"}}}), "not known before a call is sent"},
		"path without a slash": {&Policy{Lanes: []Item{{Kind: lanes, Name: "a", Gets: "a", Key: "lanes[0]",
			Match: Match{Path: []string{"admin*"}}}}}, "a path begins with /"},
		"a network": {&Policy{Lanes: []Item{{Kind: lanes, Name: "a", Gets: "a", Key: "lanes[0]",
			Match: Match{IP: []string{"10.0.0.0/8"}}}}}, "such as 10.1.*"},
		"plan that is not": {&Policy{On: []On{{Name: "storm"}}}, "has none of that name"},
	} {
		got := findings(c.p)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: found\n%s\nwant %s", name, got, c.want)
		}
	}
}

func TestCheckSite(t *testing.T) {
	instance := func(host, zone string) registry.Instance {
		return registry.Instance{Service: "auth", Zone: zone, Owner: registry.Owner{Host: host}}
	}
	p := &Policy{Services: map[string]*Service{"ghost": {}, "auth": {Items: []Item{
		{Kind: route, Key: "r0", Else: "none", To: Target{Zone: []string{"hall-9"}}},
		{Kind: route, Key: "r1", Else: "all", To: Target{Zone: []string{"hall-9"}}},
		{Kind: route, Key: "r2", Else: "none", To: Target{Zone: []string{"hall-*"}}},
		{Kind: weights, Key: "w0", Weight: 0, To: Target{Host: []string{"h1", "h2"}}},
		{Kind: weights, Key: "w1", Weight: 5, To: Target{Host: []string{"h8"}}},
	}}}}
	got := map[string]bool{}
	for _, f := range CheckSite(p, []registry.Instance{instance("h1", "hall-1"), instance("h2", "hall-2")}) {
		got[f.Key] = f.Note
	}
	want := map[string]bool{"r0": false, "r1": true, "w1": true, "services.ghost": true, "services.auth.weights": false}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found (note) %v, want %v", got, want)
	}
	found := CheckSite(p, []registry.Instance{instance("h1", "hall-9"), instance("h3", "")})
	if slices.ContainsFunc(found, func(f Finding) bool { return !f.Note }) {
		t.Errorf("found %+v, want notes only", found)
	}
}

// TestEveryServiceKeepsAnInstance: weights under "*" may not leave any service without an instance, also one that the
// text does not name; a weight of its own goes before them.
func TestEveryServiceKeepsAnInstance(t *testing.T) {
	instance := func(service, zone string) registry.Instance {
		return registry.Instance{Service: service, Zone: zone, Owner: registry.Owner{Host: "h"}}
	}
	site := []registry.Instance{instance("auth", "hall-1"), instance("auth", "hall-3"), instance("db", "hall-3")}
	p := &Policy{Services: map[string]*Service{Every: {Items: []Item{
		{Kind: weights, Key: "w", Weight: 0, To: Target{Zone: []string{"hall-3"}}}}}}}
	found := CheckSite(p, site)
	if len(found) != 1 || found[0].Note || found[0].Key != "services.*.weights" ||
		!strings.Contains(found[0].Text, "every living instance of db") {
		t.Errorf("found %+v, want db without an instance", found)
	}
	p.Services["db"] = &Service{Items: []Item{
		{Kind: weights, Key: "d", Weight: 10, To: Target{Zone: []string{"hall-3"}, Host: []string{"h"}}}}}
	if found := CheckSite(p, site); len(found) > 0 {
		t.Errorf("found %+v with a weight of db's own", found)
	}
}

// contradicted are the allow items that Check says can never apply, as deny wins.
func contradicted(s *Service) map[string]bool {
	c := &checker{p: &Policy{}}
	c.access("services.auth", s)
	out := map[string]bool{}
	for _, f := range c.found {
		if !f.Note && strings.HasSuffix(f.Text, "take one of them out") {
			out[f.Key] = true
		}
	}
	return out
}

// wronglyContradicted plays random access lists until the verdict on them is refuted by a call; "" when none is.
func wronglyContradicted(t *testing.T, verdict func(*Service) map[string]bool) string {
	r := chance.Rand(t, 53)
	requests := worldRequests()
	for range 3000 {
		s := &Service{Access: &Access{Deny: true}}
		for n := range 2 + r.IntN(4) {
			i := Item{Kind: []Kind{allow, deny}[r.IntN(2)], Service: "auth", Key: fmt.Sprint(n), Match: drawMatch(r)}
			i.Match.Percent = nil
			s.Items = append(s.Items, i)
		}
		rules := Compile(&Policy{Services: map[string]*Service{"auth": s}}, nil, 0)
		decides, matches := map[string]int{}, map[string]int{}
		for q := range requests {
			if _, _, by := rules.Rules("auth", requests[q].Method).Access(&requests[q]); by != nil {
				decides[by.Key]++
			}
			for i := range s.Items {
				if newRule(&s.Items[i]).matches(&requests[q]) {
					matches[s.Items[i].Key]++
				}
			}
		}
		said := verdict(s)
		for i := range s.Items {
			it := &s.Items[i]
			same := it.Kind == allow && slices.ContainsFunc(s.Items, func(d Item) bool {
				return d.Kind == deny && d.Match.text() == it.Match.text()
			})
			switch {
			case said[it.Key] && decides[it.Key] > 0:
				return fmt.Sprintf("item %d of %+v is said never to apply, and decides on %d calls", i, s.Items,
					decides[it.Key])
			case !said[it.Key] && same && matches[it.Key] > 0:
				return fmt.Sprintf("item %d of %+v is allowed and denied, and nothing is said", i, s.Items)
			}
		}
	}
	return ""
}

func TestContradictionsOfAccess(t *testing.T) {
	if found := wronglyContradicted(t, contradicted); found != "" {
		t.Error(found)
	}
	without := func(f func(*Match)) func(*Service) map[string]bool {
		return func(s *Service) map[string]bool {
			changed := &Service{Access: s.Access, Items: slices.Clone(s.Items)}
			for i := range changed.Items {
				f(&changed.Items[i].Match)
			}
			return contradicted(changed)
		}
	}
	for name, mutant := range map[string]func(*Service) map[string]bool{
		"nothing is said":      func(*Service) map[string]bool { return nil },
		"methods mean nothing": without(func(m *Match) { m.Method = nil }),
		"callers mean nothing": without(func(m *Match) { m.Caller = nil }),
		"marks mean nothing":   without(func(m *Match) { m.Mark = nil }),
		"allow wins": func(s *Service) map[string]bool {
			turned := &Service{Access: s.Access, Items: slices.Clone(s.Items)}
			for i, it := range turned.Items {
				turned.Items[i].Kind = map[Kind]Kind{allow: deny, deny: allow}[it.Kind]
			}
			return contradicted(turned)
		},
	} {
		if wronglyContradicted(t, mutant) == "" {
			t.Errorf("%s: the search found nothing", name)
		}
	}
}

// TestChecksAreBounded: a check compares items until its work is spent, the same ones on every process. Identical ones
// are found in any case.
func TestChecksAreBounded(t *testing.T) {
	const services = 20
	p := &Policy{Services: map[string]*Service{}}
	for n := range services {
		name := fmt.Sprintf("s%02d", n)
		s := &Service{}
		add := func(m Match) {
			s.Items = append(s.Items, Item{Kind: route, Service: name, Key: fmt.Sprintf("%s[%d]", name, len(s.Items)),
				Match: m, To: Target{Zone: []string{"a"}}, Else: "all"})
		}
		for i := range 400 {
			add(Match{Method: []string{fmt.Sprintf("m%d", i)}})
		}
		add(Match{Method: []string{"m7"}, Caller: []string{"c"}}) // within another one
		add(Match{Method: []string{"m7"}})                        // the same as another one
		p.Services[name] = s
	}
	hidden := map[string]bool{}
	for _, f := range Check(p) {
		hidden[f.Key] = true
	}
	if !hidden["s00[400]"] || !hidden["s00[401]"] || !hidden["s19[401]"] {
		t.Errorf("items that never apply are not found: %v", hidden)
	}
	if hidden["s19[400]"] {
		t.Error("all items were compared, without a bound")
	}
	values := func(format string) (all []string) {
		for n := range maxValues {
			all = append(all, fmt.Sprintf(format, n))
		}
		return all
	}
	both := append(values("v%d"), values("!v%d")...)
	w := &work{left: 1_000_000}
	if a := parseValues(both); !a.meets(a, w) || w.left > 0 {
		t.Errorf("a condition that holds for nothing was looked through, with %d comparisons left", w.left)
	}
}

// TestManyFindings: of many faults a check tells the first and ends; notes hide no fault.
func TestManyFindings(t *testing.T) {
	limits := func(n int) (all []Item) {
		for i := range n {
			all = append(all, Item{Kind: "limits", Service: "a", Key: fmt.Sprintf("limits[%d]", i), Per: "site"})
		}
		return all
	}
	found := Check(&Policy{Services: map[string]*Service{"a": {Items: limits(20_000)}}})
	if last := found[len(found)-1]; len(found) != maxFound+1 || !strings.Contains(last.Text, "more is found") {
		t.Errorf("%d findings, the last %+v; want %d", len(found), last, maxFound+1)
	}
	p := &Policy{Services: map[string]*Service{"z": {Items: limits(1)}}}
	short := 100 * time.Millisecond
	for n := range 2 * maxFound {
		p.Services[fmt.Sprintf("s%d", n)] = &Service{Settings: Settings{Timeout: &short}} // which is noted
	}
	found = Check(p)
	faults := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.Note })
	if len(found)-len(faults) != maxFound+1 || len(faults) != 1 || faults[0].Key != "limits[0]" {
		t.Errorf("%d findings, and the faults %+v; want %d notes and the fault of z", len(found), faults, maxFound+1)
	}
}
