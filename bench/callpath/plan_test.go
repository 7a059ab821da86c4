package callpath

import (
	"slices"
	"testing"
	"time"
)

func TestNamedPlan(t *testing.T) {
	plan, err := namedPlan("128x1024+slow,4x1048576")
	if err != nil {
		t.Fatal(err)
	}
	want := []cell{{workers: 128, size: 1024}, {workers: 128, size: 1024, slow: true}, {workers: 4, size: 1 << 20}}
	for i, l := range plan {
		if i >= len(want) || l.cell != want[i] {
			t.Fatalf("plan %+v, want %+v", plan, want)
		}
	}
	for _, bad := range []string{"", "128", "x", "128x", "0x10", "128x0", "128x10y", "128x10,", "a128x10", "-1x10"} {
		if plan, err := namedPlan(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, plan)
		}
	}
}

// Whatever a goal compares is part of the long plan.
func TestLongPlanServesAllGoals(t *testing.T) {
	all := samples{}
	for _, l := range longPlan() {
		for _, name := range l.peers {
			if _, err := peerNamed(name); err != nil {
				t.Error(err)
			}
			all[l.of(name)] = []sample{{QPS: 1, P50: 1, P99: 1, CPUClient: 1, CPUServer: 1, AllocsClient: 1,
				AllocsServer: 1}}
		}
	}
	for _, g := range goals() {
		if v, ok := g.measured(all, g.load); !ok || v <= 0 {
			t.Errorf("%s: %v, %v", g.what, v, ok)
		}
		if (g.least > 0) == (g.most > 0) {
			t.Errorf("%s: want one bound", g.what)
		}
	}
}

func TestOnly(t *testing.T) {
	plan, err := only(shortPlan(), "grpc,skerry")
	if err != nil || !slices.Equal(plan[0].peers, []string{"grpc", "skerry"}) {
		t.Errorf("%+v, %v", plan, err)
	}
	if _, err := only(shortPlan(), "grpc,unknown"); err == nil {
		t.Error("an unknown peer is accepted")
	}
	if plan, err := only(shortPlan(), ""); err != nil || slices.Contains(plan[0].peers, "grpc-tls") ||
		!slices.Contains(plan[1].peers, "grpc-tls") {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestPacer(t *testing.T) {
	for name, tt := range map[string]struct {
		pacer pacer
		takes []time.Duration
		want  int
	}{
		"rounds":                {pacer{rounds: 3}, []time.Duration{1, 1, 1, 1, 1}, 3},
		"a budget":              {pacer{budget: 10}, []time.Duration{3, 3, 3, 3}, 3},
		"the last fits exactly": {pacer{budget: 9}, []time.Duration{3, 3, 3, 3}, 3},
		"rounds differ":         {pacer{budget: 10}, []time.Duration{3, 4, 3, 3}, 2},
		"at least one":          {pacer{budget: 1}, []time.Duration{3, 3}, 1},
		"both":                  {pacer{rounds: 2, budget: 100}, []time.Duration{3, 3, 3}, 2},
	} {
		var since time.Duration
		for _, took := range tt.takes {
			if !tt.pacer.more(since) {
				break
			}
			since += took
			tt.pacer.round(took)
		}
		if tt.pacer.done != tt.want {
			t.Errorf("%s: %d rounds, want %d", name, tt.pacer.done, tt.want)
		}
	}
}
