package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
)

func TestAStaleCalleeIsToldTheRules(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller, auth := s.caller("caller"), s.start("auth", "v2")
	s.start("auth", "v1")
	s.commit(v2, nil, caller)
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	if err := caller.call(ctx, "auth"); err != nil {
		t.Fatal(err)
	}
	if auth.executed.Load() != 1 || auth.agent.Log().Hash() != s.rules.Hash() {
		t.Errorf("executed %d times, with rules of generation %v", auth.executed.Load(), auth.agent.Log().Last())
	}
	s.check()
}

// TestManyCallsMeetAStaleCallee: the callee's internal service takes few calls of one peer at a
// time, and no call fails because of that.
func TestManyCallsMeetAStaleCallee(t *testing.T) {
	for _, test := range []struct{ callers, calls int }{{1, 32}, {3 * internalOfOne, 4}} {
		s := newSite(t)
		s.commit(v1, nil)
		var callers []*process
		for i := range test.callers {
			callers = append(callers, s.caller(fmt.Sprint("caller-", i)))
		}
		auth := s.start("auth", "v2")
		s.start("auth", "v1")
		s.commit(v2, nil, callers...)
		// The first entries are taken after every call has been refused, and after every caller
		// beyond the limit has failed once.
		all := test.callers * test.calls
		refused := int64(all + max(0, test.callers-internalOfOne))
		s.bringing = func(p *process) {
			within(5*time.Second, func() bool { return p.server.Stats().Refused >= refused })
		}
		var calls []func() error
		for i := range all {
			calls = append(calls, func() error {
				ctx, end := callers[i%test.callers].begin(t.Context(), uint64(i+1))
				defer end()
				return callers[i%test.callers].call(ctx, "auth")
			})
		}
		if err := together(calls...); err != nil {
			t.Errorf("%d callers: %v", test.callers, err)
		}
		if auth.executed.Load() != int64(all) {
			t.Errorf("%d callers: executed %d of %d calls", test.callers, auth.executed.Load(), all)
		}
		s.check()
	}
}

// TestOneExchangeForAll: one call exchanges rules, and the others use its result. When that call
// ends early, another one continues.
func TestOneExchangeForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x exchanges
		var tries atomic.Int64
		impatient, cancel := context.WithCancel(t.Context())
		exchange := func(ctx context.Context) func() error {
			return func() error {
				return x.share(ctx, "fetch", func() error {
					tries.Add(1)
					return run.Sleep(ctx, time.Second)
				})
			}
		}
		first := make(chan error, 1)
		go func() { first <- exchange(impatient)() }()
		synctest.Wait()
		time.AfterFunc(time.Second/2, cancel)
		calls := make([]func() error, 20)
		for i := range calls {
			calls[i] = exchange(t.Context())
		}
		if err := together(calls...); err != nil || !errors.Is(<-first, context.Canceled) || tries.Load() != 2 {
			t.Errorf("%d exchanges, want 2: the one that was given up, and one for all others; %v", tries.Load(), err)
		}
		failed := errors.New("refused")
		var errs []func() error
		for range 5 {
			errs = append(errs, func() error {
				return x.share(t.Context(), "fetch", func() error { time.Sleep(time.Second); return failed })
			})
		}
		if start := time.Now(); !errors.Is(together(errs...), failed) || time.Since(start) != time.Second {
			t.Errorf("five calls took %v to learn that the exchange fails, want 1s", time.Since(start))
		}
	})
}

func TestARetiredRootStartsOverUnseen(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	fresh, seen, old, auth := s.caller("fresh"), s.caller("seen"), s.start("auth", "v1"), s.start("auth", "v2")
	proc := s.start("proc", "v1")
	again, end := seen.begin(t.Context(), 2)
	defer end()
	if err := seen.call(again, "proc"); err != nil {
		t.Fatal(err)
	}
	s.commit(v2, nil, old, auth, proc)
	s.commit(nil, []rollout.Retirement{{Service: "auth", Version: "v1", Floor: s.rules.Last()}}, old, auth)

	ctx, end2 := fresh.begin(t.Context(), 1)
	defer end2()
	both := func() error { return fresh.call(ctx, "auth") }
	if err := together(both, both, both, both); err != nil {
		t.Fatal(err)
	}
	if old.executed.Load() != 0 || auth.executed.Load() != 4 ||
		participant.TraceFrom(ctx).Token().Generation != s.rules.Last() {
		t.Errorf(
			"v1 executed %d, v2 %d, the token reads %v",
			old.executed.Load(),
			auth.executed.Load(),
			participant.TraceFrom(ctx).Token().Generation,
		)
	}
	wantCode(t, seen.call(again, "auth"), Retired, NotExecuted) // its token has been seen
	s.check()
}

// A root that began before its process knew any rules is refused once by a callee with rules, and
// then reads the newest. Without rules, auth and proc could be of two releases. A trace that has
// executed calls goes on.
func TestARootWithoutRulesStartsOverUnseen(t *testing.T) {
	s := newSite(t)
	late, seen := s.caller("late"), s.caller("seen")
	old, auth := s.start("auth", "v1"), s.start("auth", "v2")
	proc := s.start("proc", "v1")
	again, end := seen.begin(t.Context(), 2)
	defer end()
	if err := seen.call(again, "proc"); err != nil {
		t.Fatal(err)
	}
	next := s.start("proc", "v2")
	s.commit(v1, nil, old, auth, proc, next)
	s.commit(v2, nil, old, auth, proc, next)
	ctx, end2 := late.begin(t.Context(), 1)
	defer end2()
	both := func() error { return late.call(ctx, "proc") }
	if err := together(both, both, both, both); err != nil {
		t.Fatal(err)
	}
	if g := participant.TraceFrom(ctx).Token().Generation; g != s.rules.Last() {
		t.Errorf("the token reads %v, want %v", g, s.rules.Last())
	}
	for range 4 {
		if err := late.call(ctx, "auth"); err != nil {
			t.Fatal(err)
		}
	}
	if old.executed.Load() != 0 || auth.executed.Load() != 4 {
		t.Errorf("v1 executed %d, v2 %d", old.executed.Load(), auth.executed.Load())
	}
	if err := seen.call(again, "proc"); err != nil {
		t.Errorf("a trace that had begun before the rules: %v", err)
	}
	s.check()
}

// A root that has missed a whole release finds no instance of its version, and learns the rules
// from other instances.
func TestARootFarBehindCatchesUp(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller := s.caller("caller")
	s.commit(v2, nil)
	s.start("auth", "v2")
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	if err := caller.call(ctx, "auth"); err != nil {
		t.Fatal(err)
	}
	s.check()
}

// A token that came another way may be newer than the rules here.
func TestAStaleCallerCatchesUp(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller := s.caller("caller")
	s.commit(v2, nil)
	s.start("auth", "v2")
	var tr participant.Trace
	caller.agent.Origin("http", "").Join(&tr, s.rules.Token(1, ""), "", "")
	defer tr.End()
	if err := caller.call(tr.Context(t.Context()), "auth"); err != nil {
		t.Fatal(err)
	}
	s.check()
}

// When the rule log has forked, every process of the other log refuses a call, whichever log is
// longer. The call then goes to a process of its own log.
func TestPartedLogs(t *testing.T) {
	for name, lengths := range map[string][2]int{"theirs is shorter": {3, 1}, "as long": {2, 2}, "longer": {1, 3}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.commit(v1, nil)
			caller, other := s.caller("caller"), s.start("auth", "v1")
			for range lengths[1] {
				if err := other.agent.Learn(other.agent.Log().Next("other", v1)); err != nil {
					t.Fatal(err)
				}
			}
			for range lengths[0] {
				s.commit(v1, nil, caller)
			}
			there := other.agent.Log().Tip()
			for seed := range uint64(20) {
				ctx, end := caller.begin(t.Context(), seed)
				wantCode(t, caller.call(ctx, "auth"), RulesForked, NotExecuted)
				end()
			}
			if n := other.brought.Load(); n > 4 {
				t.Errorf("rules were brought %d times to a process with a log that is known to have forked", n)
			}
			own := s.start("auth", "v1")
			for seed := range uint64(20) {
				ctx, end := caller.begin(t.Context(), seed)
				if err := caller.call(ctx, "auth"); err != nil {
					t.Error(err)
				}
				end()
			}
			if other.executed.Load() > 0 || own.executed.Load() != 20 || other.agent.Log().Tip() != there {
				t.Errorf(
					"the other log's process executed %d calls and goes by %v; the own log's executed %d",
					other.executed.Load(),
					other.agent.Log().Tip(),
					own.executed.Load(),
				)
			}
			s.check()
		})
	}
}
