package rollout

import (
	"context"
	"errors"
	"testing"
)

func mustAgent(t *testing.T, saved Saved, save func(Saved) error) *Agent {
	t.Helper()
	a, err := NewAgent("host/1/a", saved, save)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// twoSteps are the entries auth=v1 and auth=v2.
func twoSteps(t *testing.T) (one, two Entry) {
	l := &Log{}
	one = l.Next("r", map[string]Rule{"auth": {Version: "v1"}})
	l = mustApply(t, l, one)
	return one, l.Next("r", map[string]Rule{"auth": {Version: "v2"}})
}

func TestAnAgentLearnsInOrderAndKeepsWhatItLearnt(t *testing.T) {
	one, two := twoSteps(t)
	var kept Saved
	a := mustAgent(t, Saved{}, func(s Saved) error { kept = s; return nil })
	changed := a.Changed()
	if err := a.Learn(two); !errors.Is(err, ErrGap) {
		t.Fatalf("an entry whose predecessor is missing: %v", err)
	}
	if err := a.Learn(one, two); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("Changed was not closed")
	}
	if err := a.Learn(one, two); err != nil {
		t.Errorf("learning again: %v", err)
	}
	again := mustAgent(t, kept, nil)
	if again.Log().Hash() != a.Log().Hash() {
		t.Error("a restarted process has other rules")
	}
	if got := a.Since(one.Generation); len(got) != 1 || got[0].Generation != two.Generation {
		t.Errorf("since generation 1: %v", got)
	}
}

func TestWhatCantBeKeptIsNotActedUpon(t *testing.T) {
	one, _ := twoSteps(t)
	full := errors.New("disk full")
	a := mustAgent(t, Saved{}, func(Saved) error { return full })
	if err := a.Learn(one); !errors.Is(err, full) || a.Log().Last() != (Generation{}) {
		t.Errorf("%v, applied %v", err, a.Log().Last())
	}
	if err := a.Promise(one); !errors.Is(err, full) || a.Promised() != nil {
		t.Errorf("%v, promised %v", err, a.Promised())
	}
}

func TestAForkIsRefused(t *testing.T) {
	one, _ := twoSteps(t)
	rival := one
	rival.Release = "rival"
	a := mustAgent(t, Saved{}, nil)
	if err := errors.Join(a.Learn(one), a.Learn(one)); err != nil {
		t.Fatal(err)
	}
	if err := a.Learn(rival); !errors.Is(err, ErrFork) {
		t.Errorf("%v", err)
	}
}

func TestAPromiseExcludesEveryOtherEntry(t *testing.T) {
	one, two := twoSteps(t)
	rival := one
	rival.Release = "rival"
	var kept Saved
	a := mustAgent(t, Saved{}, func(s Saved) error { kept = s; return nil })
	if err := errors.Join(a.Promise(one), a.Promise(one)); err != nil {
		t.Fatal(err)
	}
	if err := a.Promise(rival); !errors.Is(err, ErrPromised) {
		t.Errorf("a rival's entry: %v", err)
	}
	a = mustAgent(t, kept, nil)
	if err := a.Promise(rival); !errors.Is(err, ErrPromised) {
		t.Errorf("after a restart: %v", err)
	}
	if err := errors.Join(a.Learn(one), a.Promise(two)); err != nil {
		t.Errorf("after the commit: %v", err)
	}
	if err := errors.Join(a.Abandon(one), a.Abandon(two)); err != nil || a.Promised() != nil {
		t.Errorf("%v %v", err, a.Promised())
	}
}

func TestOnlyAnUnseenRootTakesAFreshToken(t *testing.T) {
	one, two := twoSteps(t)
	a := mustAgent(t, Saved{}, nil)
	if err := a.Learn(one); err != nil {
		t.Fatal(err)
	}
	root, seen := a.Begin("portal.get", 1, ""), a.Begin("portal.get", 1, "")
	hop := a.Join("auth.check", "auth/v1", root.Token())
	if root.Refresh() {
		t.Error("refreshed without newer rules")
	}
	seen.Settle()
	if err := a.Learn(two); err != nil {
		t.Fatal(err)
	}
	if seen.Refresh() || hop.Refresh() {
		t.Error("a trace that was seen took another token")
	}
	if !root.Refresh() || root.Token().Generation != two.Generation || root.Refresh() {
		t.Errorf("the unseen root reads %v", root.Token().Generation)
	}
	if got := a.Report(1, []string{"auth"}, Anything); got.Least["auth"] != one.Generation || got.Running["auth/v1"] != 1 {
		t.Errorf("%+v", got)
	}
	release := seen.HandOff()
	for _, tr := range []*Trace{root, seen, hop} {
		tr.End()
	}
	if got := a.Report(2, []string{"auth"}, Anything); got.Least["auth"] != one.Generation {
		t.Errorf("the window was lost: %+v", got)
	}
	if got := a.Report(3, []string{"auth"}, Anything); got.Least["auth"] != one.Generation {
		t.Errorf("the hand-off was lost: %+v", got)
	}
	release()
	release()
	a.Report(4, nil, Anything)
	if got := a.Report(5, []string{"auth"}, Anything); len(got.Least) != 0 || len(got.Running) != 0 || len(a.Live()) != 0 {
		t.Errorf("somebody is still counted: %+v", got)
	}
}

func TestATraceTravelsInAContext(t *testing.T) {
	a := mustAgent(t, Saved{}, nil)
	tr := a.Begin("job", 7, "")
	defer tr.End()
	if TraceFrom(tr.Context(context.Background())) != tr || TraceFrom(context.Background()) != nil {
		t.Error("the context lost or invented a trace")
	}
	a.Orphan("auth.check", "auth/v1", 3).End()
	if a.Orphans() != 1 {
		t.Errorf("%d orphans", a.Orphans())
	}
}
