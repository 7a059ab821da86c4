package participant

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

func mustAgent(t *testing.T, saved Saved, save func(Saved) error) *Agent {
	t.Helper()
	a, err := New(Config{Process: "host/1/a", Saved: saved, Save: save})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// twoSteps returns the entries auth=v1 and auth=v2.
func twoSteps(t *testing.T) (one, two rollout.Entry) {
	l := &rollout.Log{}
	one = l.Next("r", map[string]rollout.Rule{"auth": {Version: "v1"}})
	l = mustApply(t, l, one)
	return one, l.Next("r", map[string]rollout.Rule{"auth": {Version: "v2"}})
}

func TestAnAgentLearnsInOrderAndKeepsWhatItLearnt(t *testing.T) {
	one, two := twoSteps(t)
	var kept Saved
	a := mustAgent(t, Saved{}, func(s Saved) error { kept = s; return nil })
	changed := a.Changed()
	if err := a.Learn(two); !errors.Is(err, rollout.ErrGap) {
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

func TestAPromiseThatCantBeKeptIsNotGiven(t *testing.T) {
	one, _ := twoSteps(t)
	full := errors.New("disk full")
	a := mustAgent(t, Saved{}, func(Saved) error { return full })
	if err := a.Promise(one, rollout.Undertaking{Command: "x"}); !errors.Is(err, full) || a.Promised() != nil {
		t.Errorf("%v, promised %v", err, a.Promised())
	}
	if err := a.Learn(one); !errors.Is(err, full) || a.Log().Last() != one.Generation {
		t.Errorf("%v, applied %v; committed rules count on a full disk, too", err, a.Log().Last())
	}
}

// Calls wait for rules, so the rules count before a slow disk has them.
func TestASlowDiskHoldsNoCallUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := twoSteps(t)
		var kept Saved
		a := mustAgent(t, Saved{}, func(s Saved) error {
			time.Sleep(time.Second)
			kept = s
			return nil
		})
		begun := time.Now()
		go func() { _ = a.Promise(one, rollout.Undertaking{Command: "x"}) }()
		synctest.Wait()
		for _, e := range []rollout.Entry{one, two} {
			changed := a.Changed()
			go func() { _ = a.Learn(e) }()
			<-changed
			if took := time.Since(begun); took > 0 || a.Log().Last() != e.Generation ||
				len(a.Since(rollout.Generation{})) != int(e.Generation.N) {
				t.Errorf("after %v generation %v is known", took, a.Log().Last())
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(kept.Records) != 2 || kept.Promise != nil || a.Promised() != nil {
			t.Errorf("kept in the end: %d entries, promise %v", len(kept.Records), kept.Promise)
		}
	})
}

func TestAForkIsRefused(t *testing.T) {
	one, _ := twoSteps(t)
	rival := one
	rival.Release = "rival"
	a := mustAgent(t, Saved{}, nil)
	if err := errors.Join(a.Learn(one), a.Learn(one)); err != nil {
		t.Fatal(err)
	}
	if err := a.Learn(rival); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("%v", err)
	}
}

func TestAPromiseExcludesEveryOtherEntry(t *testing.T) {
	one, two := twoSteps(t)
	rival := one
	rival.Release = "rival"
	var kept Saved
	a := mustAgent(t, Saved{}, func(s Saved) error { kept = s; return nil })
	if err := errors.Join(a.Promise(one, rollout.Undertaking{Command: "x"}),
		a.Promise(one, rollout.Undertaking{Command: "x"})); err != nil {
		t.Fatal(err)
	}
	if err := a.Promise(rival, rollout.Undertaking{Command: "y"}); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("a rival's entry: %v", err)
	}
	a = mustAgent(t, kept, nil)
	if err := a.Promise(rival, rollout.Undertaking{Command: "y"}); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("after a restart: %v", err)
	}
	if err := errors.Join(a.Learn(one), a.Promise(two, rollout.Undertaking{Command: "x"})); err != nil {
		t.Errorf("after the commit: %v", err)
	}
	if err := errors.Join(a.Abandon(one, rollout.Undertaking{Command: "x"}),
		a.Abandon(two, rollout.Undertaking{Command: "x"})); err != nil || a.Promised() != nil {
		t.Errorf("%v %v", err, a.Promised())
	}
}

// A promise stands until every command that asked for it has taken it back. A
// process that bars an entry never promises it again.
func TestAPromiseIsGivenUpForGood(t *testing.T) {
	one, two := twoSteps(t)
	rival := one
	rival.Release = "rival"
	var kept Saved
	a := mustAgent(t, Saved{}, func(s Saved) error { kept = s; return nil })
	if err := errors.Join(a.Promise(one, rollout.Undertaking{Command: "x"}),
		a.Promise(one, rollout.Undertaking{Command: "y"}), a.Promise(one, rollout.Undertaking{Command: "y"}),
		a.Abandon(one, rollout.Undertaking{Command: "x"})); err != nil || a.Promised() == nil {
		t.Fatalf("%v, promised %v, want it to stand for y", err, a.Promised())
	}
	if err := a.Reject(one, rollout.Undertaking{}); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("barred although it is promised: %v", err)
	}
	if err := a.Reject(rival, rollout.Undertaking{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Abandon(one, rollout.Undertaking{Command: ""}); err != nil || a.Promised() != nil {
		t.Fatalf("%v, promised %v", err, a.Promised())
	}
	a = mustAgent(t, kept, func(s Saved) error { kept = s; return nil })
	if err := a.Promise(rival, rollout.Undertaking{Command: "z"}); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("promised although it is barred: %v", err)
	}
	if err := errors.Join(a.Promise(one, rollout.Undertaking{Command: "z"}), a.Learn(rival)); err != nil ||
		a.Promised() != nil || kept.Barred != nil {
		t.Errorf("what is committed counts, whatever was promised: %v, %v, barred %v", err, a.Promised(), kept.Barred)
	}
	if err := a.Reject(rival, rollout.Undertaking{}); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("barred although it is applied: %v", err)
	}
	if err := errors.Join(a.Reject(one, rollout.Undertaking{})); err != nil {
		t.Errorf("an entry whose number is taken: %v", err)
	}
	if err := a.Reject(two, rollout.Undertaking{}); err == nil {
		t.Error("barred an entry that does not follow")
	}
}

// A second restriction removes services and adds none, also when it allows every service.
func TestRestrictAgain(t *testing.T) {
	for name, c := range map[string]struct {
		first, second []string
		allows, bars  string
	}{
		"fewer":          {[]string{"auth", "db"}, []string{"db", "mail"}, "db", "mail"},
		"all after some": {[]string{"db"}, []string{rollout.Anywhere}, "db", "mail"},
		"some after all": {[]string{rollout.Anywhere}, []string{"db"}, "db", "mail"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := New(Config{Process: "p"})
			trace := a.Begin("job", 1, "")
			trace.RestrictCalls(c.first...)
			trace.RestrictCalls(c.second...)
			if _, _, err := trace.Send(c.allows); err != nil {
				t.Errorf("a call of %s: %v", c.allows, err)
			}
			if _, _, err := trace.Send(c.bars); !errors.Is(err, ErrCallRestricted) {
				t.Errorf("a call of %s: %v", c.bars, err)
			}
		})
	}
}

// join begins a span of a trace from another process.
func join(a *Agent, token rollout.Token) *Trace {
	t := &Trace{}
	a.Origin("auth.check", "auth/v1").Join(t, token, "", "")
	return t
}

// sent makes one attempt of a call and returns its token.
func sent(t *Trace, settled bool) rollout.Token {
	token, _, _ := t.Send("db")
	t.Returned(settled)
	return token
}

// asked returns the answer to a round that covers all generations.
func asked(a *Agent, round uint64) rollout.Report {
	return a.Report(rollout.Question{Round: round, Until: rollout.Generation{N: 99}})
}

func oldest(r rollout.Report) (g rollout.Generation) {
	for i, h := range r.Inflight {
		if i == 0 || h.Generation.Before(g) {
			g = h.Generation
		}
	}
	return g
}

func TestOnlyAnUnseenRootTakesAFreshToken(t *testing.T) {
	one, two := twoSteps(t)
	a, ctx := mustAgent(t, Saved{}, nil), t.Context()
	if err := a.Learn(one); err != nil {
		t.Fatal(err)
	}
	root, seen := a.Begin("portal.get", 1, ""), a.Begin("portal.get", 1, "")
	old := sent(root, false)
	hop := join(a, old)
	if root.Refresh(ctx, old) {
		t.Error("refreshed without newer rules")
	}
	sent(seen, true)
	if err := a.Learn(two); err != nil {
		t.Fatal(err)
	}
	if seen.Refresh(ctx, old) || hop.Refresh(ctx, old) {
		t.Error("a trace that was seen took another token")
	}
	if !root.Refresh(ctx, old) || root.Token().Generation != two.Generation || root.Refresh(ctx, root.Token()) {
		t.Errorf("the unseen root reads %v", root.Token().Generation)
	}
	if token, raw, _ := root.Send("db"); token.Generation != two.Generation || raw != string(token.AppendRaw(nil)) {
		t.Errorf("it sends %v as %x", token, raw)
	}
	root.Returned(true)
	if got := asked(a, 1); oldest(got) != one.Generation || got.Running["auth/v1"] != 1 {
		t.Errorf("%+v", got)
	}
	release := seen.HandOff()
	for _, tr := range []*Trace{root, seen, hop} {
		tr.End()
	}
	if got := asked(a, 2); oldest(got) != one.Generation {
		t.Errorf("the window was lost: %+v", got)
	}
	if got := asked(a, 3); oldest(got) != one.Generation {
		t.Errorf("the hand-off was lost: %+v", got)
	}
	release()
	release()
	seen.HandOff()() // the span has ended: nothing to hold
	sent(hop, true)
	asked(a, 4)
	if got := asked(a, 5); len(got.Inflight) != 0 || len(got.Running) != 0 || len(a.Live()) != 0 {
		t.Errorf("somebody is still counted: %+v", got)
	}
}

// A refused call must not change the token while the old token may still
// execute a sibling call.
func TestRefreshWaitsForSiblings(t *testing.T) {
	for _, executed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			one, two := twoSteps(t)
			a := mustAgent(t, Saved{}, nil)
			if err := a.Learn(one); err != nil {
				t.Fatal(err)
			}
			root := a.Begin("portal.get", 1, "")
			defer root.End()
			old, _, _ := root.Send("db")
			sent(root, false) // a sibling call is refused
			if err := a.Learn(two); err != nil {
				t.Fatal(err)
			}
			refreshed := make(chan bool, 1)
			go func() { refreshed <- root.Refresh(t.Context(), old) }()
			synctest.Wait()
			if len(refreshed) > 0 || root.Token() != old {
				t.Fatal("the token changed while a call was under way")
			}
			root.Returned(executed)
			if <-refreshed == executed {
				t.Errorf("executed: %v, refreshed: %v", executed, !executed)
			}
			if !executed && !root.Refresh(t.Context(), old) {
				t.Error("a second sibling did not get the new token")
			}
		})
	}
}

func TestATraceTravelsInAContext(t *testing.T) {
	a := mustAgent(t, Saved{}, nil)
	tr := a.Begin("job", 7, "m")
	defer tr.End()
	if TraceFrom(tr.Context(context.Background())) != tr || TraceFrom(context.Background()) != nil {
		t.Error("the context lost or invented a trace")
	}
	var orphan Trace
	a.Origin("auth.check", "auth/v1").Orphan(&orphan, 3)
	orphan.End()
	if a.Orphans() != 1 {
		t.Errorf("%d orphans", a.Orphans())
	}
	one, _ := twoSteps(t)
	if err := a.Learn(one); err != nil {
		t.Fatal(err)
	}
	d := tr.Detach()
	defer d.End()
	if want := a.Log().Token(7, "m"); d.Token() != want {
		t.Errorf("detached work reads %v, want %v", d.Token(), want)
	}
}

// Spans begin and end while reports remove empty cells. None may be lost.
func TestNoSpanIsLostToAReport(t *testing.T) {
	a := mustAgent(t, Saved{}, nil)
	o := a.Origin("auth.check", "auth/v1")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				var tr Trace
				o.Join(&tr, rollout.Token{}, "", "")
				tr.End()
			}
		})
	}
	for round := range uint64(200) {
		asked(a, round+1)
	}
	wg.Wait()
	var held Trace
	o.Join(&held, rollout.Token{}, "", "")
	asked(a, 1000)
	if got := asked(a, 1001); len(got.Inflight) != 1 || got.Running["auth/v1"] != 1 {
		t.Errorf("%+v with one span alive", got)
	}
	held.End()
	if live := a.Live(); len(live) != 0 {
		t.Errorf("%v are counted, none is there", live)
	}
}

// A root that is a handler is executed by its version. If the newest rules send
// the trace to another version, a fresh token would mix the two.
func TestARootThatIsAHandlerStaysWithItsVersion(t *testing.T) {
	one, two := twoSteps(t)
	a := mustAgent(t, Saved{}, nil)
	if err := a.Learn(one); err != nil {
		t.Fatal(err)
	}
	var auth, portal Trace
	a.Origin("auth.check", "auth/v1").Begin(&auth, 1, "")
	a.Origin("portal.get", "portal/v1").Begin(&portal, 1, "")
	old, _ := sent(&auth, false), sent(&portal, false)
	if err := a.Learn(two); err != nil {
		t.Fatal(err)
	}
	if auth.Refresh(t.Context(), old) || auth.Token() != old {
		t.Errorf("auth v1 goes on by %v, by which auth is v2", auth.Token().Generation)
	}
	if !portal.Refresh(t.Context(), old) || portal.Token() == old {
		t.Error("portal, of which no rule speaks, kept the old token")
	}
	auth.End()
	portal.End()
	if live := a.Live(); len(live) != 0 {
		t.Errorf("%v are counted, none is there", live)
	}
}

// TestADiskThatHangsHoldsUpNoRules: rules count before they are on disk, and
// are written when the disk recovers. A promise that an abandoned write left on
// the disk is removed there.
func TestADiskThatHangsHoldsUpNoRules(t *testing.T) {
	one, two := twoSteps(t)
	hangs := errors.New("the disk does not answer")
	var disk Saved
	broken, notices := true, 0
	cfg := Config{Process: "host/1/a", OnLearnt: func() { notices++ }, Save: func(s Saved) error {
		if disk = s; broken { // it writes although it reports an error
			return hangs
		}
		return nil
	}}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Persist(); err != nil || disk.Tip != "" {
		t.Errorf("nothing is new, and %v was kept: %v", disk, err)
	}
	if err := a.Learn(one); err != nil || notices != 1 || a.Log().Last() != one.Generation {
		t.Errorf("learnt: %v; %d notices, applied %v", err, notices, a.Log().Last())
	}
	if err := a.Persist(); !errors.Is(err, hangs) {
		t.Errorf("keep: %v", err)
	}
	if err := a.Promise(two, rollout.Undertaking{Command: "c"}); !errors.Is(err, hangs) || a.Promised() != nil ||
		disk.Promise == nil {
		t.Errorf("promise: %v; promised %v, on the disk %v", err, a.Promised(), disk.Promise)
	}
	broken = false
	if err := a.Persist(); err != nil || disk.Tip != one.Hash() || disk.Promise != nil {
		t.Errorf("the disk answers: %v; it has %v", err, disk)
	}
	disk = Saved{}
	if err := a.Persist(); err != nil || disk.Tip != "" {
		t.Errorf("kept again, though nothing is new: %v", err)
	}
	if err := a.Promise(two, rollout.Undertaking{Command: "c"}); err != nil || disk.Promise == nil {
		t.Errorf("promise: %v", err)
	}
}

func mustApply(t *testing.T, l *rollout.Log, e rollout.Entry) *rollout.Log {
	t.Helper()
	next, err := l.Apply(e)
	if err != nil {
		t.Fatal(err)
	}
	return next
}
