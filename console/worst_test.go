package console

import (
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/policy"
)

// TestWorstServiceFirst: what has no instance comes first, then by the calls that fail, then by how slow they are.
func TestWorstServiceFirst(t *testing.T) {
	rows := []serviceRow{
		{Name: "down", Worse: much, All: 2},
		{Name: "fails much", Worse: much, Well: 1, Rate: 100, Failed: 10},
		{Name: "fails less", Worse: much, Well: 1, Rate: 10, Failed: 20},
		{Name: "slow", Worse: much, Well: 1, Slow: &edgeRow{P99: 400, Usual: 4}},
		{Name: "slower than before", Worse: little, Well: 1, Slow: &edgeRow{P99: 40, Usual: 4}},
		{Name: "avoided", Worse: little, Well: 1},
		{Name: "as usual", Well: 1, Rate: 1000, Failed: 0.1},
		{Name: "quiet", Well: 1},
	}
	for range 20 {
		list := slices.Clone(rows)
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortFunc(list, worstService)
		for i := range list {
			if list[i].Name != rows[i].Name {
				t.Fatalf("%s stands in the place of %s", list[i].Name, rows[i].Name)
			}
		}
	}
}

// TestWorstFindingFirst: what is red comes first, and harm to calls before other findings.
func TestWorstFindingFirst(t *testing.T) {
	list := troubled().Findings
	order := func(f finding) int { return -100*int(f.Severity) + findingOrder(f.Kind) }
	for i := 1; i < len(list); i++ {
		if order(list[i-1]) > order(list[i]) {
			t.Errorf("%s comes before %s", list[i-1].Kind, list[i].Kind)
		}
	}
	if list[0].Kind != "down" || list[0].Severity != grave {
		t.Errorf("the first finding is %s", list[0].Kind)
	}
}

// TestWorstProcessFirst: a host with a silent process comes before one with several that are late.
func TestWorstProcessFirst(t *testing.T) {
	want := []processRow{
		{Name: "z/1/a", Silent: "no answer"}, {Name: "z/2/a"},
		{Name: "y/1/a", Database: &sourceState{Lost: "refused"}},
		{Name: "x/1/a", PolicyBehind: true}, {Name: "x/2/a", RulesBehind: true},
		{Name: "w/1/a", PolicyBehind: true},
		{Name: "a/1/a"}, {Name: "b/1/a"},
	}
	for range 20 {
		list := slices.Clone(want)
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if bad := worstProcesses(list); bad["x"] != 2 || bad["a"] != 0 {
			t.Fatal(bad)
		}
		for i := range list {
			if list[i].Name != want[i].Name {
				t.Fatalf("%s stands in the place of %s", list[i].Name, want[i].Name)
			}
		}
	}
}

// TestUnusedRights: the page of access lists the rights that no caller uses.
func TestUnusedRights(t *testing.T) {
	s := night()
	s.Policy.Table = policy.Compile(&policy.Policy{Services: map[string]*policy.Service{"auth": {
		Access: &policy.Access{Deny: true, Enforce: true},
		Items:  []policy.Item{{Kind: "allow", Match: policy.Match{Caller: []string{"portal", "legacy", "tool-*"}}}},
	}}}, nil, 0)
	p, err := s.accessPage(httptest.NewRequest("GET", "/policy/access", nil))
	if err != nil {
		t.Fatal(err)
	}
	have := p.(*accessPage).Unused
	if len(have) != 1 || have[0].Service != "auth" || have[0].Caller != "legacy" {
		t.Errorf("%+v", have)
	}
}

// TestBusiestCallerIsNamed: a service's page names the caller with most calls, and lists it first among those that are
// as usual; callers that fail stand above.
func TestBusiestCallerIsNamed(t *testing.T) {
	in := []edgeRow{{From: "ill", Rate: 1, Failed: 50, Worse: much}, {From: "a", Rate: 3}, {From: "b", Rate: 900},
		{From: "c", Rate: 30}, {From: "d", Rate: 31}}
	if said := mostCalls(in).In(english); said != "Most calls: b, 900/s of 965/s." {
		t.Errorf("the page says %q", said)
	}
	busiestFirst(in)
	var names []string
	for _, e := range in {
		names = append(names, e.From)
	}
	if want := []string{"ill", "b", "c", "d", "a"}; !slices.Equal(names, want) {
		t.Errorf("callers are %v, want %v", names, want)
	}
	if said := mostCalls(nil).In(english); said != "" {
		t.Errorf("without callers the page says %q", said)
	}
}

// TestFewFailuresAreFound: a service that fails between 1 and 3 % of its calls, more than before, is a finding that is
// not red. One that always does is none.
func TestFewFailuresAreFound(t *testing.T) {
	s := &snapshot{Entries: []discovery.Entry{{Service: "db", State: discovery.OK, Weight: 100, Share: 1}},
		Flows: []flow{{Caller: "proc", Service: "db", Calls: 1000, Failed: 20}}}
	if list := s.find(); len(list) != 1 || list[0].Kind != "fails" || list[0].Severity != warning {
		t.Errorf("2 %% of failures are found as %+v", list)
	}
	s.Before = slices.Clone(s.Flows)
	if list := s.find(); len(list) != 0 {
		t.Errorf("as many failures as before are found as %+v", list)
	}
}

// TestGoneProcessesAreFound: a process that has gone without a goodbye is a finding until another one does the same on
// its host, or it is back.
func TestGoneProcessesAreFound(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 12, 10, 0, time.Local)
	lost := memberEvent{At: at.Add(-time.Minute), Kind: memberLost, Process: "ops-3/412/a", Runs: []string{"db/v1"},
		Why: "silent"}
	db := func(owner string) discovery.Entry {
		return discovery.Entry{Service: "db", Version: "v1", Owner: owner, State: discovery.OK, Weight: 100, Share: 1}
	}
	s := &snapshot{At: at, Entries: []discovery.Entry{db("ops-4/9/a")}, Members: []memberEvent{lost}}
	list := s.find()
	if len(list) != 1 || list[0].Kind != "gone" {
		t.Fatalf("a lost process is found as %+v", list)
	}
	if said := list[0].What.In(english); said != "db/v1 on ops-3 has gone without a goodbye" {
		t.Errorf("the finding says %q", said)
	}
	for name, change := range map[string]func(*snapshot){
		"another one runs there": func(s *snapshot) { s.Entries = append(s.Entries, db("ops-3/500/b")) },
		"it is back":             func(s *snapshot) { s.Entries = append(s.Entries, db("ops-3/412/a")) },
		"it was long ago":        func(s *snapshot) { s.At = at.Add(goneTime) },
		"it said goodbye":        func(s *snapshot) { s.Members[0].Kind = memberLeft },
		"many went at once":      func(s *snapshot) { s.Members[0].Others = 20 },
		"it offered nothing":     func(s *snapshot) { s.Members[0].Runs = nil },
	} {
		s := &snapshot{At: at, Entries: []discovery.Entry{db("ops-4/9/a")}, Members: []memberEvent{lost}}
		if change(s); len(s.find()) != 0 {
			t.Errorf("%s: found is %+v", name, s.find())
		}
	}
}

// TestHostOutForAnHour: the link at a host leads to a text that has the item, without a confirmation to come.
func TestHostOutForAnHour(t *testing.T) {
	s := night()
	h := signedIn(t, still{s}, Config{Logger: slog.New(slog.DiscardHandler)})
	s.Processes = []processInfo{{Name: "ops-3/412/a", Host: "ops-3", Runs: []string{"auth/v1"}}}
	const out = "/policy/edit?kind=weights&service=*&place=host&at=ops-3&weight=0&expires=1h&insert=1"
	has(t, get(t, h, "/processes").Body.String(), out)
	page := get(t, h, out).Body.String()
	has(t, page, "expires: 1h", "weight: 0", `name="confirm" value=""`)
	page = get(t, h, strings.Replace(out, "weight=0", "weight=none", 1)).Body.String()
	has(t, page, `name="confirm" value="10m"`, `value="none"`)
}
