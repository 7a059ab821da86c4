package console

import (
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"testing"

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
