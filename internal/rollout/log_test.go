package rollout

import (
	"errors"
	"fmt"
	"testing"
)

func mustApply(t *testing.T, l *Log, e Entry) *Log {
	t.Helper()
	next, err := l.Apply(e)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func step(t *testing.T, l *Log, rules map[string]Rule, retire ...Retirement) *Log {
	t.Helper()
	return mustApply(t, l, l.Next("test", rules, retire...))
}

func TestATokenReadsItsOwnSnapshot(t *testing.T) {
	l := step(t, &Log{}, map[string]Rule{"auth": {Version: "v1"}})
	l = step(t, l, map[string]Rule{"proc": {Version: "p1"}})
	l = step(t, l, map[string]Rule{"auth": {Version: "v2"}})
	for _, tc := range []struct {
		service string
		n       uint64
		version string
		ok      bool
		err     error
	}{
		{"auth", 0, "v1", true, nil}, // what its first rule found serving
		{"auth", 1, "v1", true, nil},
		{"auth", 2, "v1", true, nil},
		{"auth", 3, "v2", true, nil},
		{"auth", 4, "", false, ErrStale},
		{"proc", 1, "p1", true, nil},
		{"proc", 3, "p1", true, nil},
		{"other", 3, "", false, nil},
	} {
		version, ok, err := l.Resolve(tc.service, l.TokenAt(Generation{N: tc.n}, 0, ""))
		if version != tc.version || ok != tc.ok || !errors.Is(err, tc.err) {
			t.Errorf("%s at %d: %q %v %v, want %q %v %v", tc.service, tc.n, version, ok, err, tc.version, tc.ok, tc.err)
		}
	}
}

func TestAGrowingShareNeverGivesASeedBack(t *testing.T) {
	had := map[uint64]bool{}
	for _, share := range []int{0, 100, 1000, 2500, 5000, 9999, Whole} {
		rule := Rule{Version: "v1", Split: []Share{{"v2", "r1", share}}}
		n := 0
		for seed := range uint64(10_000) {
			token := Token{Seed: mix(seed)}
			on2 := rule.version(token) == "v2"
			if had[seed] && !on2 {
				t.Fatalf("seed %d went back at share %d", seed, share)
			}
			if on2 {
				had[seed] = true
				n++
			}
		}
		if diff := n - share; diff < -200 || diff > 200 {
			t.Errorf("share %d got %d of 10000 seeds", share, n)
		}
	}
}

func TestServicesOfOneReleaseDecideAlike(t *testing.T) {
	a := Rule{Version: "a1", Split: []Share{{"a2", "r1", 3000}}}
	b := Rule{Version: "b1", Split: []Share{{"b2", "r1", 3000}}}
	other := Rule{Version: "c1", Split: []Share{{"c2", "r2", 3000}}}
	alike := 0
	for seed := range uint64(1000) {
		token := Token{Seed: mix(seed)}
		if (a.version(token) == "a2") != (b.version(token) == "b2") {
			t.Fatalf("seed %d meets a mixture", seed)
		}
		if (a.version(token) == "a2") == (other.version(token) == "c2") {
			alike++
		}
	}
	if alike > 700 {
		t.Errorf("two releases decide alike for %d of 1000 seeds: their cohorts depend on one another", alike)
	}
}

func TestTheLogRefusesWhatDoesNotFollow(t *testing.T) {
	one := step(t, &Log{}, map[string]Rule{"auth": {Version: "v1"}})
	two := step(t, one, map[string]Rule{"auth": {Version: "v2"}})
	three := two.Next("x", nil)
	if _, err := one.Apply(three); !errors.Is(err, ErrGap) {
		t.Errorf("skipping a number: %v", err)
	}
	rival := one.Next("rival", map[string]Rule{"auth": {Version: "v3"}})
	if _, err := two.Apply(rival); !errors.Is(err, ErrFork) {
		t.Errorf("a second writer's generation 2: %v", err)
	}
	three.Previous = "feed"
	if _, err := two.Apply(three); !errors.Is(err, ErrFork) {
		t.Errorf("wrong hash: %v", err)
	}
	if _, err := two.Apply(two.Next("x", map[string]Rule{"auth": {}})); !errors.Is(err, ErrRule) {
		t.Errorf("a rule without version: %v", err)
	}
	if again, err := two.Apply(one.Next("test", map[string]Rule{"auth": {Version: "v2"}})); err != nil || again != two {
		t.Errorf("the newest entry again: %v", err)
	}
}

func TestARestoredLogGoesOnOnANewTimeline(t *testing.T) {
	one := step(t, &Log{}, map[string]Rule{"auth": {Version: "v1"}})
	lost := step(t, one, map[string]Rule{"auth": {Version: "v2"}})
	e := one.Next("restored", map[string]Rule{"auth": {Version: "v3"}})
	e.Generation = Generation{1, lost.Last().N + 1}
	restored := mustApply(t, one, e)
	if v, _, err := restored.Resolve("auth", restored.Token(0, "")); v != "v3" || err != nil {
		t.Errorf("%q %v", v, err)
	}
	if _, err := lost.Apply(e); !errors.Is(err, ErrFork) {
		t.Errorf("a process with the lost entry must notice: %v", err)
	}
}

func TestTheCalleeChecks(t *testing.T) {
	l := step(t, &Log{}, map[string]Rule{"auth": {Version: "v1"}})
	l = step(t, l, map[string]Rule{"auth": {Version: "v2"}})
	l = step(t, l, nil, Retirement{"auth", "v1", Generation{N: 2}})
	at := func(n uint64) Token { return l.TokenAt(Generation{N: n}, 0, "") }
	for _, tc := range []struct {
		version string
		n       uint64
		want    error
	}{
		{"v1", 1, ErrRetired}, {"v1", 2, ErrWrongVersion}, {"v2", 1, ErrWrongVersion}, {"v2", 2, nil},
		{"v2", 9, ErrStale},
	} {
		if err := l.Admit("auth", tc.version, at(tc.n)); !errors.Is(err, tc.want) {
			t.Errorf("%s at %d: %v, want %v", tc.version, tc.n, err, tc.want)
		}
	}
}

func ExampleLog_Resolve() {
	log := &Log{}
	log, _ = log.Apply(log.Next("first", map[string]Rule{"auth": {Version: "v1"}}))
	before := log.Token(SeedOf("alice"), "")
	log, _ = log.Apply(log.Next("second", map[string]Rule{"auth": {Version: "v2"}}))
	after := log.Token(SeedOf("alice"), "")

	old, _, _ := log.Resolve("auth", before)
	new, _, _ := log.Resolve("auth", after)
	fmt.Println(old, new)
	// Output: v1 v2
}
