package policytry

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
)

// recorded are the records of a process with calls of each kind.
func recorded(kinds ...recent.Calls) recent.Records {
	r := recent.Records{Seconds: 10, Whole: true, Now: 10 * time.Second, Running: make([]int64, 10)}
	for _, k := range kinds {
		n := k.Sum()
		k.PerSecond, k.Busy = make([]int64, 10), make([]time.Duration, 10)
		for s := range k.PerSecond {
			k.PerSecond[s] = n / 10
		}
		if k.Side == recent.Caller {
			k.Latencies = &recent.Latencies{}
		}
		r.Kinds = append(r.Kinds, k)
	}
	return r
}

func kind(side recent.Side, caller string, outcomes map[uint8]int64) recent.Calls {
	c := recent.Calls{Key: recent.Key{Side: side, Service: "auth", Method: "verify", Caller: caller}}
	for o, n := range outcomes {
		c.Outcomes[o] = n
	}
	return c
}

func table(s policy.Service) *policy.Table {
	for i := range s.Items {
		s.Items[i].Service = "auth"
		s.Items[i].Key = fmt.Sprintf("services.auth.%s[%d]", s.Items[i].Kind, i)
	}
	return policy.Compile(&policy.Policy{Services: map[string]*policy.Service{"auth": &s}}, nil, 0)
}

// effects are those of a trial in short: kind, item, hits and calls.
func effects(r Report) (out []string) {
	for _, e := range r.Effects {
		item := strings.TrimPrefix(e.Item, "services.auth.")
		out = append(out, fmt.Sprintf("%s %s %d/%d %s", e.Kind, item, e.Hit, e.Calls, e.Estimate))
	}
	return out
}

// TestDifferences: only what differs from the policy in force is said, and what a text takes away is said of limits and
// access.
func TestDifferences(t *testing.T) {
	served := recorded(kind(recent.Callee, "web", map[uint8]int64{recent.Served: 800, recent.Limited: 200}),
		kind(recent.Callee, "legacy", map[uint8]int64{recent.Denied: 100}))
	limited := policy.Item{Kind: "limits", Match: policy.Match{Caller: []string{"web"}}, Rate: 80, Per: "instance"}
	denied := policy.Item{Kind: "deny", Match: policy.Match{Caller: []string{"legacy"}}}
	now := table(policy.Service{Access: &policy.Access{Enforce: true}, Items: []policy.Item{limited, denied}})
	for _, test := range []struct {
		name string
		then *policy.Table
		want []string
	}{
		{"the same", now, nil},
		{"none", nil, []string{"unlimit limits[0] 200/1100 ", "allow access 100/1100 "}},
		{"audit", table(policy.Service{Access: &policy.Access{}, Items: []policy.Item{limited, denied}}),
			[]string{"audit deny[1] 100/1100 ", "allow deny[1] 100/1100 "}},
		{"a wider limit", table(policy.Service{Access: &policy.Access{Enforce: true},
			Items: []policy.Item{{Kind: "limits", Match: limited.Match, Rate: 90, Per: "instance"}, denied}}),
			[]string{"limit limits[0] 91/1100 spread"}},
		{"without default", table(policy.Service{Access: &policy.Access{Enforce: true, Deny: true},
			Items: []policy.Item{limited, denied}}), []string{"access access 1000/1100 "}},
	} {
		got := Try(Config{Records: served, Now: now, Then: test.then})
		short := effects(got)
		if len(short) != len(test.want) {
			t.Errorf("%s: %q, want %q", test.name, short, test.want)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(strings.Join(short, "\n")+"\n", want+"\n") {
				t.Errorf("%s: %q, want %q", test.name, short, test.want)
			}
		}
	}
}

// TestRequestsToHTTPServices: what is remembered of them predicts nothing.
func TestRequestsToHTTPServices(t *testing.T) {
	request := kind(recent.Caller, "web", map[uint8]int64{recent.OK: 1000})
	then := table(policy.Service{Items: []policy.Item{{Kind: "weights", To: policy.Target{Host: []string{"h3"}}}}})
	if have := effects(Try(Config{Records: recorded(request), Then: then})); len(have) == 0 {
		t.Error("nothing is predicted of calls")
	}
	request.HTTP = true
	if have := effects(Try(Config{Records: recorded(request), Then: then})); len(have) > 0 {
		t.Errorf("%q is predicted of requests", have)
	}
}

// TestOneOfSeveralLimits: refused calls that several limits matched are not said to be those of the first one.
func TestOneOfSeveralLimits(t *testing.T) {
	served := recorded(kind(recent.Callee, "web", map[uint8]int64{recent.Served: 800, recent.Limited: 200}),
		kind(recent.Callee, "billing", map[uint8]int64{recent.Served: 60, recent.Limited: 40}))
	now := table(policy.Service{Items: []policy.Item{{Kind: "limits", Pending: 50, Per: "instance"},
		{Kind: "limits", Match: policy.Match{Caller: []string{"billing"}}, Rate: 10, Per: "site"}}})
	got := map[string]int64{}
	for _, e := range Try(Config{Records: served, Now: now}).Effects {
		got[e.Item+": "+e.What] = e.Hit
	}
	if len(got) != 2 || got["services.auth.limits[0]: 50 at a time per instance"] != 200 ||
		got["services.auth.limits[0], services.auth.limits[1]: 50 at a time per instance, or another limit"] != 40 {
		t.Errorf("%v", got)
	}
}

// TestSiteLimit: a limit of the site is divided by its instances, and its burst with it.
func TestSiteLimit(t *testing.T) {
	served := recorded(kind(recent.Callee, "web", map[uint8]int64{recent.Served: 1000}))
	then := table(policy.Service{Items: []policy.Item{{Kind: "limits", Rate: 240, Per: "site"}}})
	e := Try(Config{Records: served, Then: then, Living: func(string) int { return 4 }}).Effects[0]
	if want := int64(10*(100-60) - 6); e.Hit != want || e.Worst() > 0.4001 || e.Worst() < 0.3999 {
		t.Errorf("%d refused, want %d; worst second %v", e.Hit, want, e.Worst())
	}
}

// TestCopiesAndWeights: a mirror needs an idempotent method, and weights count the calls that went to the instances.
func TestCopiesAndWeights(t *testing.T) {
	calls := kind(recent.Caller, "", map[uint8]int64{recent.OK: 1000})
	made := recorded(calls)
	for i := range 100 {
		made.Samples = append(made.Samples, recent.Sample{Kind: &calls.Key, Weight: 10, Facts: recent.Facts{
			Owner: fmt.Sprintf("h%d/1/1", i%4), Seed: uint64(i) << 32, Seeded: true}})
	}
	items := []policy.Item{
		{Kind: "mirror", To: policy.Target{Mark: "preview"}, Expires: time.Hour},
		{Kind: "weights", To: policy.Target{Host: []string{"h3"}}, Weight: 20},
	}
	place := func(_, owner string) (zone, host string, tags map[string]string, known bool) {
		return "", strings.Split(owner, "/")[0], nil, true
	}
	then := table(policy.Service{Settings: policy.Settings{Idempotent: []string{"verify"}}, Items: items})
	got := effects(Try(Config{Records: made, Then: then, Place: place}))
	slices.Sort(got)
	if want := []string{"mirror mirror[0] 1000/1000 ", "weights weights[1] 250/1000 sample"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	then = table(policy.Service{Items: items[:1]})
	if got := effects(Try(Config{Records: made, Then: then, Place: place})); len(got) != 0 {
		t.Errorf("not idempotent: %q", got)
	}
}

// TestUnknownShare: without a sampled call the error says that nothing is known.
func TestUnknownShare(t *testing.T) {
	served := recorded(kind(recent.Callee, "web", map[uint8]int64{recent.Served: 1000}))
	then := table(policy.Service{Access: &policy.Access{Enforce: true}, Items: []policy.Item{
		{Kind: "deny", Match: policy.Match{Mark: []string{"drill"}}}}})
	e := Try(Config{Records: served, Then: then}).Effects[0]
	if e.Estimate != BySample || e.Hit+int64(2*e.Error) < 1000 || e.Hit > int64(2*e.Error) {
		t.Errorf("%+v", e)
	}
}

// TestOthersAndTime: calls without a kind of their own are said, and a trial ends when it takes too long.
func TestOthersAndTime(t *testing.T) {
	others := kind(recent.Callee, "", map[uint8]int64{recent.Served: 70})
	others.Method = recent.Others
	then := table(policy.Service{Items: []policy.Item{{Kind: "limits", Rate: 1, Per: "instance"}}})
	r := Try(Config{Records: recorded(others), Then: then})
	if r.Others != 70 || len(r.Effects) != 0 || r.Cut {
		t.Errorf("%+v", r)
	}
	r = Try(Config{Records: recorded(kind(recent.Callee, "", map[uint8]int64{recent.Served: 70})), Then: then,
		Enough: func() bool { return true }})
	if !r.Cut || len(r.Effects) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestHostileReport: whatever a process says, sums stay in bounds.
func TestHostileReport(t *testing.T) {
	long := strings.Repeat("x", 5000)
	bad := Report{Seconds: -5, More: -1, Others: -1}
	for i := range 5000 {
		e := Effect{Kind: Limit, Service: "auth", Item: fmt.Sprint(i, long), What: long, Calls: -1, Hit: math.MaxInt64,
			Error: -1, Callers: map[string]int64{long: math.MaxInt64, "a": -7},
			SecondCalls: make([]int64, 5), SecondHit: []int64{math.MaxInt64, 1}}
		bad.Effects = append(bad.Effects, e)
	}
	b, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b); err == nil {
		t.Errorf("a report of %d bytes is taken", len(b))
	}
	bad.Effects = bad.Effects[:50]
	if b, err = json.Marshal(bad); err != nil {
		t.Fatal(err)
	}
	var reports []Report
	for range 100 {
		r, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	sum := Sum(reports)
	for _, e := range sum.Effects {
		if e.Hit < 0 || e.Hit > mostCount || e.Calls < 0 || len(e.Item) > mostText+10 || e.Worst() < 0 ||
			e.Worst() > 1 || e.Callers["a"] != 0 {
			t.Fatalf("%+v", e)
		}
	}
	if sum.Seconds != 0 || sum.Others != 0 || sum.More != 0 {
		t.Errorf("%+v", sum)
	}
	for _, text := range []string{"", "{", "[]", `{"effects":[{"hit":1e300}]}`, `{"effects":null}`} {
		r, err := Parse([]byte(text))
		if err == nil && len(r.Effects) > 0 {
			t.Errorf("%q gives %+v", text, r)
		}
	}
}

// TestSumAligned: seconds of processes with records of different length end at the same time.
func TestSumAligned(t *testing.T) {
	one := Report{Seconds: 3, Whole: true, Effects: []Effect{{Kind: Limit, Service: "a", Item: "i", Calls: 60, Hit: 10,
		Error: 3, Estimate: BySample, SecondCalls: []int64{20, 20, 20}, SecondHit: []int64{0, 0, 10}}}}
	two := Report{Seconds: 1, Effects: []Effect{{Kind: Limit, Service: "a", Item: "i", Calls: 20, Hit: 20, Error: 4,
		Estimate: Spread, SecondCalls: []int64{20}, SecondHit: []int64{20}}}}
	sum := Sum([]Report{one, two})
	e := sum.Effects[0]
	if sum.Answered != 2 || sum.Younger != 1 || sum.Shortest != 1 || e.Hit != 30 || e.Error != 5 || e.Worst() != 0.75 ||
		e.Estimate != Spread {
		t.Errorf("%+v", sum)
	}
}

// TestErlang compares with known values of the formula.
func TestErlang(t *testing.T) {
	for _, c := range []struct {
		load  float64
		most  int64
		share float64
	}{{1, 1, 0.5}, {10, 10, 0.2146}, {100, 110, 0.02746}, {0, 5, 0}, {50_000, 25_000, 0.5}} {
		if got := erlang(c.load, c.most); math.Abs(got-c.share) > 0.001 {
			t.Errorf("load %v at %d places: %v, want %v", c.load, c.most, got, c.share)
		}
	}
}
