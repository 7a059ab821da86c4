package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/wire"
)

// TestLiesAreNotShown: of the calls that a process tells, those are taken that can be: of names that are seen, with a
// few kinds of failures. A name reaches pages, and commands that an operator copies.
func TestLiesAreNotShown(t *testing.T) {
	kinds := map[string]int64{"\x1b[201~": 1}
	for i := range 1000 {
		kinds[fmt.Sprint("kind-", i)] = 1
	}
	evil, far := "db\nreboot", "v1\u202e"
	w := &wire.Recent{Seconds: 60, Calls: []*wire.RecentCalls{
		{Name: evil, Calls: 9}, {Name: "db", Method: evil, Calls: 9}, {Name: "db", Version: &far, Calls: 9},
		{Name: "db", Caller: &evil, Calls: 9}, {Name: "db", Method: "读", Calls: 9, Kinds: kinds},
	}, Trends: []*wire.RecentTrend{{Name: evil, Calls: []int32{1}}}}
	r := Recent{Trends: map[string][]int64{}}
	r.add("ops-1/1/a", "10.0.0.1:7001", w)
	if len(r.Calls) != 1 || r.Calls[0].Method != "读" || len(r.Trends) != 0 {
		t.Fatalf("taken: %+v, trends %v", r.Calls, r.Trends)
	}
	if r.KindsLeft != 4 || r.CallsLeft != 36 {
		t.Errorf("%d kinds with %d calls count as left out, want 4 with 36", r.KindsLeft, r.CallsLeft)
	}
	for kind := range r.Calls[0].Kinds {
		if kind == "\x1b[201~" || len(r.Calls[0].Kinds) > mostKinds {
			t.Errorf("kinds of failures: %v", r.Calls[0].Kinds)
		}
	}
	list := believed([]operator.Served{{Service: evil}, {Service: "db", Peer: far},
		{Service: "db", Count: operator.Count{Calls: -5, Failures: -1, Kinds: kinds}}})
	if len(list) != 1 || list[0].Calls != 0 || list[0].Failures != 0 || len(list[0].Kinds) > mostKinds {
		t.Errorf("counts that are believed: %+v", list)
	}
	long := strings.Repeat("x\x1b", 1<<20)
	if d, ok := descriptionOf("ops-1/1/a", &wire.Idl{Trouble: &long}); !ok || len(d.Trouble) > 4*idlTrouble ||
		strings.Contains(d.Trouble, "\x1b") {
		t.Errorf("a reason for no description has %d bytes", len(d.Trouble))
	}
	if releaseOf("0.1.0") != "0.1.0" || releaseOf("0.1\x1b") != "" {
		t.Error("a release with hidden characters is shown")
	}
}
