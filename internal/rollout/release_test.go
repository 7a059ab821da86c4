package rollout

import (
	"errors"
	"strings"
	"testing"
)

func opened() Release {
	return Release{Name: "r1", By: "wu", Mark: "preview-r1", State: Prepared}
}

// do commits the result of a step.
func do(t *testing.T, l **Log, next Release, rules map[string]Rule, err error) Release {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if rules != nil {
		*l = step(t, *l, rules)
	}
	return next
}

func shipped(t *testing.T) (Release, *Log) {
	l := step(t, &Log{}, map[string]Rule{"auth": {Version: "v1"}, "proc": {Version: "v1"}})
	r := opened()
	for _, s := range []string{"auth", "proc"} {
		next, rules, err := r.Ship(l, Module{Service: s, New: "v2"})
		r = do(t, &l, next, rules, err)
	}
	return r, l
}

func version(t *testing.T, l *Log, service, mark string, seed uint64) string {
	t.Helper()
	v, _, err := l.Resolve(service, l.Token(seed, mark))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOnlyVerifiersMeetWhatWasShipped(t *testing.T) {
	r, l := shipped(t)
	for _, m := range r.Modules {
		if v := version(t, l, m.Service, r.Mark, 1); v != "v2" {
			t.Errorf("a verifier meets %s %s", m.Service, v)
		}
		if v := version(t, l, m.Service, "", 1); v != "v1" {
			t.Errorf("everybody meets %s %s", m.Service, v)
		}
	}
}

func TestTheWholeReleaseSwitchesAtOnce(t *testing.T) {
	r, l := shipped(t)
	before := l.Last().N
	next, rules, err := r.Commit(l, Whole, l.Next("", nil).Generation)
	r = do(t, &l, next, rules, err)
	if l.Last().N != before+1 || r.State != Switched || r.Since != l.Last() {
		t.Errorf("generation %v, release %+v", l.Last(), r)
	}
	for _, m := range r.Modules {
		if v := version(t, l, m.Service, "", 1); v != "v2" {
			t.Errorf("%s %s", m.Service, v)
		}
	}
}

func TestRollbackReturnsToTheStateBefore(t *testing.T) {
	for _, share := range []int{0, 1000, Whole} {
		r, l := shipped(t)
		if share > 0 {
			next, rules, err := r.Commit(l, share, l.Next("", nil).Generation)
			r = do(t, &l, next, rules, err)
		}
		next, rules, err := r.Rollback(l, l.Next("", nil).Generation)
		r = do(t, &l, next, rules, err)
		for _, m := range r.Modules {
			if rule, _ := l.Rule(m.Service); rule.Version != "v1" || rule.Split != nil || rule.Marks != nil {
				t.Errorf("after share %d: %+v", share, rule)
			}
			if r.Outgoing(m) != "v2" {
				t.Errorf("%s goes", r.Outgoing(m))
			}
		}
		r, err = r.Clean()
		if err != nil {
			t.Fatal(err)
		}
		r, retired, err := r.Retire()
		if err != nil || len(retired) != 2 || retired[0].Version != "v2" {
			t.Fatal(retired, err)
		}
		if r, err = r.Stop(); err != nil || !r.Finished() {
			t.Fatal(r, err)
		}
	}
}

func TestStepsThatAreNotPossibleSaySo(t *testing.T) {
	r, l := shipped(t)
	empty := opened()
	_, _, noModule := empty.Commit(l, Whole, Generation{})
	_, clean := r.Clean()
	_, _, retire := r.Retire()
	_, stop := r.Stop()
	switched, rules, err := r.Commit(l, Whole, l.Next("", nil).Generation)
	switched = do(t, &l, switched, rules, err)
	_, _, twice := switched.Commit(l, Whole, Generation{})
	_, _, ship := switched.Ship(l, Module{Service: "db", Old: "v1", New: "v2"})
	for step, err := range map[string]error{
		"commit without module": noModule, "clean": clean, "retire": retire, "stop": stop, "commit twice": twice,
		"ship after the switch": ship,
	} {
		if !errors.Is(err, ErrStep) || !strings.Contains(err.Error(), "it is ") {
			t.Errorf("%s: %v", step, err)
		}
	}
	r, l = shipped(t)
	if _, _, err := r.Ship(l, Module{Service: "auth", New: "v1"}); err == nil ||
		!strings.Contains(err.Error(), "must differ") {
		t.Errorf("shipping what serves already: %v", err)
	}
	if _, _, err := r.Ship(l, Module{Service: "new", New: "v1"}); err == nil {
		t.Error("a service without rule and old version was accepted")
	}
}

func TestSettingsAreKeptAndBounded(t *testing.T) {
	first, err := Release{Name: "r1", State: Prepared}.Put("auth", map[string]string{"version": "v2", "wish": "2"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Put("auth", map[string]string{"wish": "", "check": "true"})
	if err != nil || len(second.Settings["auth"]) != 2 || second.Settings["auth"]["check"] != "true" {
		t.Errorf("%v, %v", second.Settings, err)
	}
	if first.Settings["auth"]["wish"] != "2" {
		t.Error("a step changed the release before it")
	}
	if _, err := second.Put("auth", map[string]string{"big": strings.Repeat("x", maxSetting+1)}); err == nil {
		t.Error("a setting of any size was taken")
	}
	second.State = Switched
	if _, err := second.Put("auth", nil); !errors.Is(err, ErrStep) {
		t.Errorf("after the switch: %v", err)
	}
}
