package rollout

import "testing"

func TestStanding(t *testing.T) {
	l := &Log{}
	apply := func(session *Release, rules map[string]Rule, retire ...Retirement) {
		t.Helper()
		e := l.Next("r1", rules, retire...)
		e.Session = session
		next, err := l.Apply(e)
		if err != nil {
			t.Fatal(err)
		}
		l = next
	}
	expect := func(when, version string, want Standing) {
		t.Helper()
		if got := l.Standing("kit", version); got != want {
			t.Errorf("%s: %s stands as %q, want %q", when, version, got, want)
		}
	}
	expect("before any release", "v1", "")
	r := Release{Name: "r1", State: Prepared}
	apply(&r, map[string]Rule{"kit": {Version: "v1"}})
	expect("open", "v1", "")
	expect("open", "v2", standsUnshipped)
	r.Modules = []Module{{Service: "kit", Old: "v1", New: "v2"}}
	apply(&r, nil)
	expect("shipped", "v2", "")
	r.State = Switched
	apply(&r, map[string]Rule{"kit": {Version: "v2"}})
	expect("committed", "v1", "")
	r.State = Stopped
	floor := l.Next("", nil).Generation
	apply(&r, nil, Retirement{Service: "kit", Version: "v1", Floor: floor})
	expect("cleaned", "v1", standsRetired)
	expect("cleaned", "v2", "")
	expect("cleaned", "v3", standsUnreleased)
	expect("cleaned", "", "")
	for _, s := range []Standing{standsRetired, standsUnreleased, standsUnshipped} {
		if what, mend := s.Explain(); what == "" || mend == "" {
			t.Errorf("%s is not explained", s)
		}
	}
}
