package sitepolicy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/policy"
)

func holder(t *testing.T, saved Saved) *Holder {
	t.Helper()
	h, err := New(Config{Cluster: "c", Saved: saved})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// next makes an entry on what the holder has.
func next(t *testing.T, h *Holder, text string, change ...func(*policylog.Entry)) policylog.Entry {
	t.Helper()
	e := h.Log().Next(text)
	for _, c := range change {
		c(&e)
	}
	e, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func learn(t *testing.T, h *Holder, entries ...policylog.Entry) {
	t.Helper()
	if _, err := h.Learn(nil, nil, entries...); err != nil {
		t.Fatal(err)
	}
}

func retries(h *Holder) int {
	if r := h.Table().Rules("auth", "get"); r != nil && r.Retries != nil {
		return *r.Retries
	}
	return -1
}

const text0, text2 = "policy: 1\nservices: {auth: {retries: 0}}\n", "policy: 1\nservices: {auth: {retries: 2}}\n"

func TestTheNewestIsInForce(t *testing.T) {
	h := holder(t, Saved{})
	if h.Table() != nil || retries(h) != -1 {
		t.Error("a process without a policy has one")
	}
	changed := h.Changed()
	one := next(t, h, text0)
	learn(t, h, one)
	select {
	case <-changed:
	default:
		t.Error("the change is not told")
	}
	if s := h.Status(); retries(h) != 0 || s.Number != 1 || s.Hash != one.Hash() || s.Because != "" {
		t.Errorf("retries %d, status %+v", retries(h), s)
	}
	two := next(t, h, text2)
	late := holder(t, Saved{})
	learn(t, late, two) // before its predecessor
	learn(t, late, one)
	learn(t, h, two, one)
	if retries(h) != 2 || retries(late) != 2 {
		t.Errorf("retries %d, and %d of the process that learnt backwards", retries(h), retries(late))
	}
	number, hash := late.Newest()
	if number != 2 || hash != two.Hash() {
		t.Errorf("newest %d %s", number, hash)
	}
}

// TestAllObeyTheSame: processes that learn the same entries in any order obey the same, whatever of them they
// understand.
func TestAllObeyTheSame(t *testing.T) {
	r := chance.Rand(t, 47)
	texts := []string{text0, text2, "policy: 2\n", guarded("retries: 1", "{caller: web}"),
		guarded("retries: 3", "{caller: web, moon: full}")}
	for range 100 {
		writer := holder(t, Saved{})
		var all []policylog.Entry
		for range 1 + r.IntN(6) {
			e := next(t, writer, texts[r.IntN(len(texts))])
			all = append(all, e)
			learn(t, writer, e)
		}
		other := holder(t, Saved{})
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, e := range all {
			learn(t, other, e)
		}
		restarted := holder(t, writer.Saved())
		for name, h := range map[string]*Holder{"another order": other, "a restart": restarted} {
			a, _, _ := writer.Table().Rules("auth", "get").Access(&policy.Request{Caller: "job"})
			b, _, _ := h.Table().Rules("auth", "get").Access(&policy.Request{Caller: "job"})
			if retries(h) != retries(writer) || a != b || h.Status().Number != writer.Status().Number {
				t.Fatalf("%s: retries %d, access %v, %+v; want %d, %v, %+v", name, retries(h), b, h.Status(),
					retries(writer), a, writer.Status())
			}
		}
	}
}

// guarded is a policy that lets the callers of allow call auth, and no others.
func guarded(more, allow string) string {
	return "policy: 1\nservices: {auth: {" + more + ", access: {mode: enforce, default: deny, allow: [" +
		allow + "]}}}\n"
}

// TestOldProcess: what a process does not understand is left out and said; the access that it understood stays, also
// over a restart.
func TestOldProcess(t *testing.T) {
	h := holder(t, Saved{})
	learn(t, h, next(t, h, guarded("timeout: 1s", "{caller: web}")))
	learn(t, h, next(t, h, guarded("retries: 2, orbit: 1", "{caller: web}, {moon: 1}")))
	for name, h := range map[string]*Holder{"running": h, "restarted": holder(t, h.Saved())} {
		s := h.Status()
		if retries(h) != 2 || len(s.Lost) != 2 || s.Number != 2 {
			t.Errorf("%s: retries %d, %+v", name, retries(h), s)
		}
		r := h.Table().Rules("auth", "get")
		if ok, enforced, _ := r.Access(&policy.Request{Caller: "job"}); ok || !enforced {
			t.Errorf("%s: job may call", name)
		}
		if ok, _, _ := r.Access(&policy.Request{Caller: "web"}); !ok {
			t.Errorf("%s: web may not call", name)
		}
	}
	learn(t, h, next(t, h, "policy: 2\n"))
	learn(t, h, next(t, h, text0, func(e *policylog.Entry) { e.Needs = []string{"the moon"} }))
	for name, h := range map[string]*Holder{"running": h, "restarted": holder(t, h.Saved())} {
		s := h.Status()
		if retries(h) != 2 || s.Number != 2 || s.Newest != 4 || !strings.Contains(s.Because, "upgrade skerry") {
			t.Errorf("%s: retries %d, %+v", name, retries(h), s)
		}
	}
	learn(t, h, next(t, h, text0))
	if s := h.Status(); retries(h) != 0 || s.Number != 5 || s.Because != "" || len(s.Lost) != 0 {
		t.Errorf("a text that is understood again: retries %d, %+v", retries(h), s)
	}
}

// TestExpiryAndConfirmation: items end, and what is not confirmed goes back, by the process's own clock.
func TestExpiryAndConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := holder(t, Saved{})
		g := run.NewGroup(t.Context())
		defer func() { _ = g.Stop() }()
		g.Go(h.Run)
		fault := func() bool { return h.Table().Rules("auth", "get").Fault(&policy.Request{}) != nil }
		learn(t, h, next(t, h, "policy: 1\nservices: {auth: {retries: 1, faults: [{delay: 1s, expires: 30m}]}}\n"))
		time.Sleep(30*time.Minute - time.Second)
		synctest.Wait()
		if !fault() {
			t.Fatal("the fault ended early")
		}
		saved := h.Saved()
		time.Sleep(time.Second)
		synctest.Wait()
		if fault() || retries(h) != 1 {
			t.Fatalf("after 30 minutes: fault %v, retries %d", fault(), retries(h))
		}
		// A restart gives it the time that was left.
		again := holder(t, saved)
		g.Go(again.Run)
		if again.Table().Rules("auth", "get").Fault(&policy.Request{}) == nil {
			t.Error("a restart ended the fault")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if again.Table().Rules("auth", "get").Fault(&policy.Request{}) != nil {
			t.Error("a restart made the fault last longer")
		}
		// A newcomer ends it when the process does that it learnt it from.
		late := holder(t, Saved{})
		if _, err := late.Learn(nil, h.Ages(), h.Log().Entries()...); err != nil {
			t.Fatal(err)
		}
		if late.Table().Rules("auth", "get").Fault(&policy.Request{}) != nil {
			t.Error("a newcomer began a fault that has ended")
		}
		// Not confirmed.
		learn(t, h, next(t, h, text2, func(e *policylog.Entry) { e.Confirm = 10 * time.Minute }))
		time.Sleep(10*time.Minute - time.Second)
		synctest.Wait()
		if retries(h) != 2 {
			t.Fatalf("retries %d before the time of confirmation", retries(h))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := h.Status(); retries(h) != 1 || s.Number != 1 || s.Newest != 2 || s.Because != "it was not confirmed" {
			t.Fatalf("after it: retries %d, %+v", retries(h), s)
		}
		learn(t, h, next(t, h, text0, func(e *policylog.Entry) { e.Confirm = 10 * time.Minute }))
		learn(t, h, next(t, h, text0))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := h.Status(); retries(h) != 0 || s.Number != 4 {
			t.Errorf("confirmed: retries %d, %+v", retries(h), s)
		}
	})
}

// TestLateProcessesDoNotBeginAnew: a process that learns of an entry while it waits for its confirmation, or later,
// goes back when the process does that it learnt it from. One that knows the entry keeps its own time.
func TestLateProcessesDoNotBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run.NewGroup(t.Context())
		defer func() { _ = g.Stop() }()
		h := holder(t, Saved{})
		g.Go(h.Run)
		learn(t, h, next(t, h, text2))
		learn(t, h, next(t, h, text0, func(e *policylog.Entry) { e.Confirm = 10 * time.Minute }))
		from := func(ages map[uint64]time.Duration) *Holder {
			late := holder(t, Saved{})
			if _, err := late.Learn(nil, ages, h.Log().Entries()...); err != nil {
				t.Fatal(err)
			}
			g.Go(late.Run)
			return late
		}
		obeys := func(name string, of *Holder, want int) {
			t.Helper()
			synctest.Wait()
			if got := retries(of); got != want {
				t.Errorf("%s: retries %d, want %d, %+v", name, got, want, of.Status())
			}
		}
		time.Sleep(9 * time.Minute)
		within, saved := from(h.Ages()), h.Saved()
		obeys("a newcomer within the time", within, 0)
		time.Sleep(time.Minute)
		obeys("a newcomer after it", within, 2)
		obeys("one that comes later", from(h.Ages()), 2)
		stored := func(age time.Duration) (all []policylog.Stored) {
			for _, e := range h.Log().Entries() {
				all = append(all, policylog.Stored{Entry: e, Age: age})
			}
			return all
		}
		_, ages := FromStore(stored(10 * time.Minute))
		obeys("one that reads a database alone", from(ages), 2)
		_, ages = FromStore(stored(9 * time.Minute))
		read := from(ages)
		obeys("one that reads it within the time", read, 0)
		obeys("one that hears an age of another entry", from(map[uint64]time.Duration{1: time.Hour}), 0)
		again := holder(t, saved)
		g.Go(again.Run)
		obeys("one that starts again", again, 0)
		ages = map[uint64]time.Duration{}
		for id := range h.Ages() {
			ages[id] = time.Hour
		}
		beside := next(t, h, text2, func(e *policylog.Entry) { e.Number = 1 })
		if _, err := again.Learn(nil, ages, beside); err != nil {
			t.Fatal(err)
		}
		obeys("one that knows the entry", again, 0)
		time.Sleep(time.Minute)
		obeys("one that has read a database, after its time", read, 2)
		obeys("one that started again, after its time", again, 2)
	})
}

// TestPlansGoOn: a plan that is on for a time ends then, also when the policy changes meanwhile.
func TestPlansGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := holder(t, Saved{})
		g := run.NewGroup(t.Context())
		defer func() { _ = g.Stop() }()
		g.Go(h.Run)
		text := text2 + "plans: {storm: {services: {auth: {retries: 0}}}}\n"
		learn(t, h, next(t, h, text, func(e *policylog.Entry) {
			e.On = []policylog.On{{Name: "storm", For: 2 * time.Hour, Since: e.Number}}
		}))
		time.Sleep(time.Hour)
		synctest.Wait()
		if retries(h) != 0 {
			t.Fatalf("retries %d while the plan is on", retries(h))
		}
		learn(t, h, next(t, h, text+"# another edit\n"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if retries(h) != 2 {
			t.Errorf("retries %d after two hours of the plan", retries(h))
		}
	})
}

func TestSavedIsRead(t *testing.T) {
	h := holder(t, Saved{})
	learn(t, h, next(t, h, text2))
	text, err := json.Marshal(h.Saved())
	if err != nil {
		t.Fatal(err)
	}
	var saved Saved
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	if retries(holder(t, saved)) != 2 {
		t.Error("what was saved is not in force")
	}
	saved.Records = append(saved.Records, []byte("rubbish"))
	bad, err := New(Config{Cluster: "c", Saved: saved})
	if !errors.Is(err, policylog.ErrEntry) || retries(bad) != 2 {
		t.Errorf("with a spoilt record: %v, retries %d", err, retries(bad))
	}
	other, err := New(Config{Cluster: "other", Saved: saved})
	if !errors.Is(err, policylog.ErrForeign) || other.Table() != nil {
		t.Errorf("of another cluster: %v", err)
	}
}

// TestNoPolicyIsObeyed: a holder that obeys none has no table at any time, keeps what it learns for the next run, and
// says why.
func TestNoPolicyIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := holder(t, Saved{})
		learn(t, running, next(t, running, text2))
		h, err := New(Config{Cluster: "c", Saved: running.Saved(), ObeyNone: true})
		if err != nil {
			t.Fatal(err)
		}
		g := run.NewGroup(t.Context())
		g.Go(h.Run)
		learn(t, h, next(t, h, text0, func(e *policylog.Entry) { e.Confirm = time.Minute }))
		time.Sleep(time.Hour)
		synctest.Wait()
		s := h.Status()
		if h.Table() != nil || s.Number != 0 || s.Hash != "" || s.Newest != 2 || s.Obey != ObeysNone ||
			s.Because == "" {
			t.Errorf("table %v, status %+v", h.Table(), s)
		}
		if n := len(h.Log().Entries()); n != 2 || retries(holder(t, h.Saved())) != 2 {
			t.Errorf("%d entries are kept, and mean %d retries", n, retries(holder(t, h.Saved())))
		}
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
}
