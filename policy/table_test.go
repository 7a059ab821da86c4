package policy

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
)

// TestGrowingPercent: all calls of a trace decide alike, a share is what it says, and no trace loses an item while its
// percent grows.
func TestGrowingPercent(t *testing.T) {
	r := chance.Rand(t, 29)
	item := func(n int) *Item {
		return &Item{Kind: mirror, Service: "auth", Match: Match{Percent: &n, Method: []string{"get"}}}
	}
	const traces = 20_000
	had := map[uint64]bool{}
	for _, n := range []int{0, 1, 500, 2000, 9_999, 10_000} {
		rule, hits := newRule(item(n)), 0
		draw := chance.Rand(t, 31)
		for range traces {
			q := Request{Method: "get", Seed: draw.Uint64(), Seeded: true}
			hit := rule.matches(&q)
			q.Caller, q.Host, q.Zone = "another", "hop", fmt.Sprint(r.IntN(9))
			if hit != rule.matches(&q) {
				t.Fatalf("two calls of the trace %x differ at %d", q.Seed, n)
			}
			if had[q.Seed] && !hit {
				t.Fatalf("the trace %x had the item before it grew to %d, and has lost it", q.Seed, n)
			}
			if had[q.Seed] = hit; hit {
				hits++
			}
		}
		if want := traces * n / whole; hits < want*9/10-20 || hits > want*11/10+20 {
			t.Errorf("%d of %d traces have an item of %d hundredths of a percent, want about %d", hits, traces, n, want)
		}
	}
	if newRule(item(9_999)).matches(&Request{Method: "get"}) {
		t.Error("a call without a trace has an item of a percent")
	}
	if !newRule(item(whole)).matches(&Request{Method: "get"}) {
		t.Error("a call without a trace does not have an item of 100 percent")
	}
}

// TestPercentsOfTwoItems: what two items draw for a trace is not the same.
func TestPercentsOfTwoItems(t *testing.T) {
	half, r, both := 5_000, chance.Rand(t, 37), 0
	a := newRule(&Item{Kind: mirror, Name: "a", Match: Match{Percent: &half}})
	b := newRule(&Item{Kind: mirror, Name: "b", Match: Match{Percent: &half}})
	for range 10_000 {
		q := Request{Seed: r.Uint64(), Seeded: true}
		if a.matches(&q) && b.matches(&q) {
			both++
		}
	}
	if both < 2_200 || both > 2_800 {
		t.Errorf("%d of 10,000 traces have both items of 50 percent, want about 2,500", both)
	}
}

func TestBaggage(t *testing.T) {
	for header, want := range map[string]bool{
		"tenant=t7":                           true,
		"tenant=t7;x=y":                       true,
		"a=b,tenant = t7 ,c=d":                true,
		"tenant=%747":                         true,
		"tenant=t7,tenant=t9":                 true, // the first counts
		"tenant=t9,tenant=t7":                 false,
		"xtenant=t7":                          false,
		"tenant":                              false,
		"tenant=":                             false,
		"tenant=t7%":                          false,
		"":                                    false,
		"tenant=%zz":                          false,
		"tenant=" + string(make([]byte, 900)): false,
	} {
		r := newRule(&Item{Match: Match{Baggage: map[string][]string{"tenant": {"t7", "!t9", "q*"}}}})
		if got := r.matches(&Request{Baggage: header}); got != want {
			t.Errorf("%.40q matches: %v, want %v", header, got, want)
		}
	}
}

// TestExpiry: what expires leaves the table by the process's own clock, an item that stays goes on, and one that an
// operator changes begins anew.
func TestExpiry(t *testing.T) {
	fault := Item{Kind: faults, Service: "auth", Key: "f", Delay: time.Second, Expires: 30 * time.Minute}
	with := func(items ...Item) *Policy {
		return &Policy{Services: map[string]*Service{"auth": {Items: items}},
			Plans: map[string]*Plan{
				"storm": {Services: map[string]*Service{"auth": {Settings: Settings{Retries: new(0)}}}},
			},
			On: []On{{Name: "storm", For: 2 * time.Hour, Since: 18}}}
	}
	active := func(p *Policy, a Ages, now time.Duration) (fault, storm bool, next time.Duration) {
		table := Compile(p, a, now)
		r := table.Rules("auth", "get")
		return r.Fault(&Request{}) != nil, r.Retries != nil, table.Next()
	}
	p := with(fault)
	ages := Ages(nil).At(p, time.Minute)
	for _, at := range []struct {
		now          time.Duration
		fault, storm bool
		next         time.Duration
	}{
		{time.Minute, true, true, 31 * time.Minute},
		{31*time.Minute - 1, true, true, 31 * time.Minute},
		{31 * time.Minute, false, true, 2*time.Hour + time.Minute},
		{2*time.Hour + time.Minute, false, false, 0},
	} {
		f, s, next := active(p, ages, at.now)
		if f != at.fault || s != at.storm || next != at.next {
			t.Errorf("at %v: fault %v, plan %v, next %v; want %+v", at.now, f, s, next, at)
		}
	}
	// A later policy with the same item goes on.
	later := with(fault, Item{Kind: limits, Service: "auth", Rate: 5, Per: "site"})
	if f, _, _ := active(later, ages.At(later, 20*time.Minute), 31*time.Minute); f {
		t.Error("an edit beside the item made it last longer")
	}
	// A changed one begins anew.
	longer := fault
	longer.Expires = time.Hour
	changed := with(longer)
	if _, _, next := active(changed, ages.At(changed, 20*time.Minute), 20*time.Minute); next != 80*time.Minute {
		t.Errorf("the changed item ends at %v, want 1h20m", next)
	}
	if kept := ages.At(with(), 20*time.Minute); len(kept) != 1 {
		t.Errorf("ages of what is gone are kept: %v", kept)
	}
	if got := maps.Clone(ages); len(got) != 2 {
		t.Errorf("ages %v, want those of the fault and the plan", got)
	}
	x := Compile(p, ages, 31*time.Minute).Explain("auth", &Request{}, "", Settings{}, Settings{})
	if n := slices.IndexFunc(x.Items, func(v Verdict) bool { return v.Key == "f" }); n < 0 || x.Items[n].Applies {
		t.Errorf("the explanation of an expired item: %+v", x.Items)
	}
}

// TestInternalIsUntouched: no policy touches the framework's own service.
func TestInternalIsUntouched(t *testing.T) {
	p := &Policy{Services: map[string]*Service{Every: {Settings: Settings{Retries: new(5)},
		Items: []Item{{Kind: faults, Error: "unavailable"}}}, internal: {Settings: Settings{Retries: new(5)}}}}
	if r := Compile(p, nil, 0).Rules(internal, "ping"); r != nil {
		t.Errorf("rules of %s: %+v", internal, r)
	}
}

func TestWeight(t *testing.T) {
	p := &Policy{Services: map[string]*Service{
		"auth": {Items: []Item{
			{Kind: weights, Weight: 20, To: Target{Zone: []string{"z1"}}},
			{Kind: weights, Weight: 0, To: Target{Zone: []string{"z1"}, Host: []string{"h3"}}}}},
		Every: {Items: []Item{{Kind: weights, Weight: 7, To: Target{Host: []string{"h*"}}}}},
	}}
	r := Compile(p, nil, 0).Rules("auth", "get")
	for place, want := range map[[2]string]int{{"z1", "h3"}: 0, {"z1", "h4"}: 20, {"z2", "h3"}: 7, {"z2", "x"}: -1} {
		got, ok := r.Weight(place[0], place[1], nil)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("weight at %v: %d, want %d", place, got, want)
		}
	}
}

// hot is a policy with items that match a call in five ways, and the call.
func hot() (*Table, Request) {
	percent := 9_999
	s := &Service{Access: &Access{Enforce: true, Deny: true}, Items: []Item{
		{Kind: route, Match: Match{Baggage: map[string][]string{"tenant": {"t7", "t9"}}},
			To: Target{Zone: []string{"z"}}},
		{Kind: limits, Pending: 500}, {Kind: limits, Match: Match{Caller: []string{"report"}}, Rate: 50},
		{Kind: allow, Match: Match{Caller: []string{"portal", "report"}}},
		{Kind: mirror, Match: Match{Method: []string{"verify"}, Percent: &percent}},
	}}
	p := &Policy{Services: map[string]*Service{"auth": s}}
	for i := range 999 {
		p.Services[fmt.Sprint("service-", i)] = s
	}
	return Compile(p, nil, 0), Request{Method: "verify", Caller: "report", Baggage: "tenant=t7", Seed: 1, Seeded: true}
}

// decide asks all that a caller and a callee ask about one call.
func decide(t *Table, service string, q *Request, buf []*Item) (found int) {
	r := t.Rules(service, q.Method)
	if r.Route(q) != nil {
		found++
	}
	if r.Fault(q) != nil {
		found++
	}
	if r.Mirror(q) != nil {
		found++
	}
	if _, _, by := r.Access(q); by != nil {
		found++
	}
	return found + len(r.Limits(q, buf[:0]))
}

func TestLookupsAllocateNothing(t *testing.T) {
	table, q := hot()
	encoded := q
	encoded.Baggage = "tenant=%747"
	buf := make([]*Item, 0, 8)
	if n := decide(table, "auth", &q, buf); n != 5 {
		t.Fatalf("%d items match, want 5", n)
	}
	if n := decide(table, "auth", &encoded, buf); n != 5 {
		t.Fatalf("%d items match encoded baggage, want 5", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		decide(table, "auth", &q, buf)
		decide(table, "auth", &encoded, buf)
		decide(table, "other", &q, buf)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNoMatch(b *testing.B) {
	table, q := hot()
	for b.Loop() {
		table.Rules("other", q.Method)
	}
}

func BenchmarkDecideNoMatch(b *testing.B) {
	table, q := hot()
	buf := make([]*Item, 0, 8)
	for b.Loop() {
		decide(table, "other", &q, buf)
	}
}

func BenchmarkDecideFiveItems(b *testing.B) {
	table, q := hot()
	buf := make([]*Item, 0, 8)
	for b.Loop() {
		decide(table, "auth", &q, buf)
	}
}

// large is a policy of 1,000 services with 20 items each.
func large() *Policy {
	p := &Policy{Services: map[string]*Service{}}
	for n := range 1_000 {
		name := fmt.Sprint("service-", n)
		s := &Service{Methods: map[string]Settings{}}
		for m := range 10 {
			s.Methods[fmt.Sprint("method", m)] = Settings{Timeout: new(time.Second)}
		}
		for i := range 10 {
			s.Items = append(s.Items, Item{Kind: limits, Service: name, Rate: 5, Per: "site",
				Match: Match{Caller: []string{fmt.Sprint("caller-", i)}}})
		}
		p.Services[name] = s
	}
	return p
}

func TestLargePolicyIsSmallInMemory(t *testing.T) {
	p := large()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := Compile(p, nil, 0)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 8<<20 {
		t.Errorf("the table of 1,000 services with 20 items each takes %d KiB, want 8 MiB at most", used>>10)
	}
	runtime.KeepAlive(table)
	runtime.KeepAlive(p)
}

// TestManyMethodsAndItems: a text that names many methods and many items of one service makes no table of their
// product.
func TestManyMethodsAndItems(t *testing.T) {
	s := &Service{Methods: map[string]Settings{}}
	for n := range 5_000 {
		s.Methods[fmt.Sprint("method", n)] = Settings{Retries: new(0)}
		s.Items = append(s.Items, Item{Kind: limits, Service: "auth", Rate: 5, Per: "site",
			Match: Match{Method: []string{fmt.Sprint("method", n)}}})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	table := Compile(&Policy{Services: map[string]*Service{"auth": s}}, nil, 0)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("compiling took %d MiB", used>>20)
	}
	q := &Request{Method: "method4999"}
	if n := len(table.Rules("auth", q.Method).Limits(q, nil)); n != 1 {
		t.Errorf("%d limits hold for the last method, want its own", n)
	}
}

func BenchmarkCompile(b *testing.B) {
	p := large()
	for b.Loop() {
		Compile(p, nil, 0)
	}
}

// TestOlderAges: what another process has applied for longer ends earlier here, too; but not a limit.
func TestOlderAges(t *testing.T) {
	fault := Item{Kind: faults, Service: "auth", Delay: time.Second, Expires: 30 * time.Minute}
	limit := Item{Kind: limits, Service: "auth", Rate: 1, Per: "site", Expires: 30 * time.Minute}
	p := &Policy{Services: map[string]*Service{"auth": {Items: []Item{fault, limit}}}}
	theirs := Ages(nil).At(p, -20*time.Minute)
	ages := Ages(nil).At(p, time.Minute).Older(p, theirs)
	table := Compile(p, ages, 11*time.Minute)
	q := &Request{}
	if r := table.Rules("auth", "get"); r.Fault(q) != nil || len(r.Limits(q, nil)) != 1 {
		t.Errorf("after 31 minutes elsewhere and 10 here: fault %v, limits %v", r.Fault(q), r.Limits(q, nil))
	}
	younger := Ages(nil).At(p, 0).Older(p, Ages(nil).At(p, time.Hour))
	if Compile(p, younger, 29*time.Minute).Rules("auth", "get").Fault(q) == nil {
		t.Error("a younger age elsewhere ended the fault here")
	}
}

// TestItemsOfPlansBeginWithThem: what a plan holds begins to expire when the plan is switched on, not when its text
// comes, and once more when it is switched on again.
func TestItemsOfPlansBeginWithThem(t *testing.T) {
	reply := Item{Kind: fallback, Service: "auth", Key: "plans.storm.services.auth.fallback[0]", On: []string{always},
		Reply: []byte("{}"), Expires: 2 * time.Hour}
	weight := Item{Kind: weights, Service: "auth", Key: "plans.storm.services.auth.weights[0]",
		To: Target{Host: []string{"h3"}}, Expires: 2 * time.Hour}
	same := weight // in the text itself, where it expires long before the plan is on
	same.Key = "services.auth.weights[0]"
	p := &Policy{Services: map[string]*Service{"auth": {Items: []Item{same}}},
		Plans: map[string]*Plan{"storm": {Services: map[string]*Service{"auth": {Items: []Item{reply, weight}}}}}}
	ages := Ages(nil).At(p, 0)
	for _, step := range []struct {
		on, at, end time.Duration
		since       uint64
	}{{5 * time.Hour, 5 * time.Hour, 7 * time.Hour, 2}, {6 * time.Hour, 8*time.Hour - 1, 8 * time.Hour, 3}} {
		p.On = []On{{Name: "storm", Since: step.since}}
		ages = ages.At(p, step.on)
		for at, there := range map[time.Duration]bool{step.at: true, step.end: false} {
			table := Compile(p, ages, at)
			r := table.Rules("auth", "get")
			_, weighed := r.Weight("", "h3", nil)
			_, items := table.InForce("auth")
			if replied := r.Fallback(&Request{}, always) != nil; replied != there || weighed != there ||
				len(items) != 2*map[bool]int{true: 1}[there] {
				t.Errorf("switched on by %d at %v, after %v: replied %v, weighed %v, %d items in force; want %v",
					step.since, step.on, at, replied, weighed, len(items), there)
			}
			x := table.Explain("auth", &Request{Method: "get"}, always, Settings{}, Settings{})
			n := slices.IndexFunc(x.Items, func(v Verdict) bool { return v.Key == reply.Key })
			if n < 0 || x.Items[n].Applies != there {
				t.Errorf("after %v the explanation says %+v", at, x.Items)
			}
		}
	}
}
