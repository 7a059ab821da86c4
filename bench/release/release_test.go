package release

import (
	"context"
	"strings"
	"testing"
)

// scores are the rows of a table by the names of the strategies.
func scores(t *testing.T, c conditions, seeds int) map[string]score {
	t.Helper()
	rows, err := compare(context.Background(), c, seeds)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]score{}
	for i, c := range contenders {
		out[c.name] = rows[i]
	}
	return out
}

func TestSkerryBreaksNothing(t *testing.T) {
	for _, c := range tables {
		for name, s := range scores(t, c, 4) {
			if !strings.HasPrefix(name, "skerry") {
				continue
			}
			if s.requests == 0 || s.g1+s.g2+s.failed+s.findings > 0 {
				t.Errorf("%s, %s: of %d requests %d broke G1, %d broke G2, %d failed; %d findings", c.name, name,
					s.requests, s.g1, s.g2, s.failed, s.findings)
			}
		}
	}
}

func TestTheOthersBreakWhatTheyAreKnownToBreak(t *testing.T) {
	calm, wild := scores(t, tables[0], 4), scores(t, tables[1], 4)
	if s := calm["rolling update"]; s.g1 == 0 || s.g2 < s.g1 {
		t.Errorf("rolling update: %d of %d mixed", s.g1, s.requests)
	}
	if s := calm["lazy header pins"]; s.g1 > 0 || s.g2 == 0 {
		t.Errorf("lazy pins keep each service of a sequential request, not the release: %d, %d", s.g1, s.g2)
	}
	if s := wild["lazy header pins"]; s.g1 == 0 {
		t.Error("lazy pins hold with siblings and lost replies")
	}
	for _, name := range []string{"quiescence", "future/past edges"} {
		if s := calm[name]; s.g1+s.g2+s.failed > 0 {
			t.Errorf("%s under its own assumptions: %d, %d, %d failed", name, s.g1, s.g2, s.failed)
		}
	}
}

func TestTheCheckerAgrees(t *testing.T) {
	w := newWorld(2, tables[1])
	s := play(w, contenders[0])
	traces := map[string]bool{}
	for _, f := range (&tokens{plain: plain{s}, operator: operator{}}).history().Check() {
		if f.Rule == "C1" {
			traces[strings.Fields(f.Text)[1]] = true
		}
	}
	for _, r := range s.requests {
		if r.mixed != traces[r.id] {
			t.Errorf("request %s: mixed %v here, %v by rollouttest", r.id, r.mixed, traces[r.id])
		}
	}
	if len(traces) == 0 {
		t.Error("a rolling update mixed nothing")
	}
}

func TestARunIsTheSameEveryTime(t *testing.T) {
	for _, c := range contenders {
		a, b := play(newWorld(3, tables[1]), c), play(newWorld(3, tables[1]), c)
		if a.gone != b.gone || len(a.spans) != len(b.spans) {
			t.Errorf("%s: gone at %v and %v, %d and %d spans", c.name, a.gone, b.gone, len(a.spans), len(b.spans))
		}
	}
}

func TestOnlyHoldersCostTime(t *testing.T) {
	s := scores(t, tables[0], 2)
	for _, name := range []string{"rolling update", "lazy header pins", "future/past edges", "skerry concurrent"} {
		for _, ms := range s[name].added {
			if ms != 0 {
				t.Fatalf("%s added %v to a request", name, ms)
			}
		}
	}
}
