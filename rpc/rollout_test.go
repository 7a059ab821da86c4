package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// together runs calls at the same time.
func together(calls ...func() error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(calls))
	for i, call := range calls {
		wg.Go(func() { errs[i] = call() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// portal's request goes to auth and proc at once, and from these to db; audit
// is told one way.
func portalSite(t *testing.T) *site {
	s := newSite(t)
	s.program["portal"] = func(ctx context.Context, p *process) error {
		return errors.Join(
			together(
				func() error { return p.call(ctx, "auth") },
				func() error { return p.call(ctx, "proc") },
				func() error { return p.call(ctx, "proc") },
			),
			p.stub("audit").Note(ctx, "done"),
		)
	}
	s.program["auth"] = func(ctx context.Context, p *process) error { return p.call(ctx, "db") }
	s.program["proc"] = func(ctx context.Context, p *process) error {
		return together(func() error { return p.call(ctx, "auth") }, func() error { return p.call(ctx, "db") })
	}
	s.program["audit"] = func(ctx context.Context, p *process) error { return p.call(ctx, "auth") }
	return s
}

var v1 = map[string]rollout.Rule{"auth": {Version: "v1"}, "proc": {Version: "v1"}}
var v2 = map[string]rollout.Rule{"auth": {Version: "v2"}, "proc": {Version: "v2"}}

func TestOneTokenThroughAChain(t *testing.T) {
	s := portalSite(t)
	s.commit(v1, nil)
	portal := s.start("portal", "p1")
	for _, service := range []string{"auth", "proc"} {
		s.start(service, "v1")
		s.start(service, "v2")
	}
	s.start("db", "d1")
	s.start("audit", "a1")
	// A plain Thrift client brings no token.
	plain := client(t, ClientConfig{}, &Endpoint{ID: "p", Addr: portal.ep.Addr, Protocol: "framed-binary"})
	tc, err := plain.Service("portal", ServiceOptions{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	const requests = 20
	for range requests {
		if _, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all spans", func() bool { return s.versions("db")["d1"] == 6*requests })
	s.check()
	traces := map[string]bool{}
	s.mu.Lock()
	for _, span := range s.history.Spans {
		traces[span.Trace] = true
	}
	s.mu.Unlock()
	if len(traces) != requests || s.versions("auth")["v1"] != 4*requests || portal.agent.Orphans() != 0 {
		t.Errorf(
			"%d traces for %d requests; auth %v; %d orphans",
			len(traces),
			requests,
			s.versions("auth"),
			portal.agent.Orphans(),
		)
	}
	eventually(t, "no span left", func() bool { return len(portal.agent.Live()) == 0 })
}

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

// TestManyCallsMeetAStaleCallee: the internal service of the callee takes few
// calls of one peer at a time, and no call fails for that.
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
		// The first entries are taken when every call has been refused, and
		// every caller too many in vain.
		all := test.callers * test.calls
		refused := int64(all + max(0, test.callers-internalOfOne))
		s.bringing = func(p *process) {
			for end := time.Now().Add(5 * time.Second); p.server.Stats().Refused < refused && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
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

// TestOneExchangeForAll: one call exchanges rules, the others take what comes of
// it; when that call ends FlushEarly, another one goes on.
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

// A root that began before its process had heard of any rules is refused once
// by a callee that has some, and reads the newest then: by none, auth and proc
// could be of two releases. A trace that has executed something goes on.
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

// A root that has missed a whole release finds no instance of the version it
// knows, and learns from the others.
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

// A token that has come by another way may be newer than the rules here.
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

// Where the rule log has parted, a call is refused by every process of the other
// log, whichever of the two is longer, and made at one of its own.
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
				t.Errorf("rules were brought %d times to a process with a log that is known to have parted", n)
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

func TestTheWrongVersionNeverExecutes(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller, other := s.caller("caller"), s.start("auth", "v2")
	other.ep.Version = "v1" // the list is behind: another version was started there
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	if e := wantCode(t, caller.call(ctx, "auth"), Unreachable, NotExecuted); !errors.Is(e, ErrOther) {
		t.Errorf("got %v, want ErrOther", e)
	}
	// Where the caller does not say which version it means, the callee decides.
	s.unlist(func(e *Endpoint) bool { return e == other.ep })
	s.blind["auth/v1"] = []*Endpoint{{ID: "blind", Service: "auth", Addr: other.ep.Addr}}
	wantCode(t, caller.call(ctx, "auth"), WrongVersion, NotExecuted)
	good := s.start("auth", "v1")
	for range 5 {
		if err := caller.call(ctx, "auth"); err != nil {
			t.Fatal(err)
		}
	}
	if other.executed.Load() != 0 || good.executed.Load() != 5 {
		t.Errorf("executed: wrong %d, right %d", other.executed.Load(), good.executed.Load())
	}
}

func TestNeverAnotherVersionInstead(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller, other := s.caller("caller"), s.start("auth", "v2")
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	wantCode(t, caller.call(ctx, "auth"), VersionUnavailable, NotExecuted)
	if other.executed.Load() != 0 {
		t.Error("another version executed it")
	}
}

// A trace from before a service's first rule stays with the version of then.
func TestATokenOlderThanTheFirstRule(t *testing.T) {
	s := newSite(t)
	caller, old := s.caller("caller"), s.start("auth", "v1")
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	if err := caller.call(ctx, "auth"); err != nil {
		t.Fatal(err)
	}
	next := s.start("auth", "v2")
	s.commit(v1, nil, old, next)
	s.commit(v2, nil, old, next)
	for range 10 {
		if err := caller.call(ctx, "auth"); err != nil {
			t.Fatal(err)
		}
	}
	if next.executed.Load() != 0 {
		t.Errorf("%d of 10 calls met v2", next.executed.Load())
	}
	s.check()
}

func TestBlockingWaitsForTheNewVersion(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller := s.caller("caller")
	old := s.start("auth", "v1")
	s.commit(map[string]rollout.Rule{"auth": {Version: "v2", Strategy: rollout.Blocking, Turn: "v2"}}, nil, caller, old)
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	hurried, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := caller.call(
		hurried,
		"auth",
	); CodeOf(err) != VersionUnavailable ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no instance came: %v", err)
	}
	time.AfterFunc(100*time.Millisecond, func() { s.start("auth", "v2") })
	if err := caller.call(ctx, "auth"); err != nil {
		t.Error(err)
	}
	if old.executed.Load() != 0 {
		t.Error("v1 executed it")
	}
	s.check()
}

func TestOrphans(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := newSite(t)
		s.strict = strict
		s.commit(v1, nil)
		caller, auth := s.caller("caller"), s.start("auth", "v1")
		plain := client(t, ClientConfig{}, &Endpoint{ID: "p", Addr: auth.ep.Addr})
		tc, err := plain.Service("auth", ServiceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = echo.NewEchoClient(tc).Who(t.Context())
		err2 := caller.call(t.Context(), "auth")
		if strict {
			wantCode(t, err, Orphan, NotExecuted)
			wantCode(t, err2, Orphan, NotExecuted)
			continue
		}
		if err := errors.Join(err, err2); err != nil || auth.agent.Orphans() != 1 || caller.agent.Orphans() != 1 {
			t.Errorf("%v; %d and %d orphans, want 1 and 1", err, auth.agent.Orphans(), caller.agent.Orphans())
		}
		came, left := auth.agent.Report(rollout.Question{}).Orphans, caller.agent.Report(rollout.Question{}).Orphans
		if came["auth.who"] != 1 || left["made by caller"] != 1 || len(came)+len(left) != 2 {
			t.Errorf("the reports name orphans %v and %v", came, left)
		}
	}
}

// A plain client at an entry of a version to which the rules send no request is
// told apart from those of a method that is no entry.
func TestPlainClientAtAnEntryOfAnotherVersion(t *testing.T) {
	s := newSite(t)
	s.commit(map[string]rollout.Rule{"portal": {Version: "v1"}}, nil)
	next := s.start("portal", "v2")
	plain := client(t, ClientConfig{}, &Endpoint{ID: "p", Addr: next.ep.Addr})
	tc, err := plain.Service("portal", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	came := next.agent.Report(rollout.Question{}).Orphans
	if came["portal.who, an entry, called at v2, to which the rules send no request"] != 1 || len(came) != 1 {
		t.Errorf("the report names orphans %v", came)
	}
}

// Servers that know nothing of tokens are called as before.
func TestPlainServersBehind(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	for _, protocol := range []string{"", "header", "framed-binary", "unframed-compact"} {
		h := &handler{name: "plain"}
		srv := serve(t, ServerConfig{}, h)
		s.list(&Endpoint{ID: "plain" + protocol, Service: "echo", Version: "v1", Addr: srv.addr, Protocol: protocol})
		caller := s.caller("caller")
		ctx, end := caller.begin(t.Context(), 1)
		if err := caller.call(ctx, "echo"); err != nil || h.calls.Load() != 1 {
			t.Errorf("%s: %v, %d calls", protocol, err, h.calls.Load())
		}
		end()
		s.unlist(func(*Endpoint) bool { return true })
	}
}

func TestRetriesCarryTheSameToken(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller := s.caller("caller")
	var tokens []rollout.Token
	for range 2 {
		p := s.start("auth", "v1")
		p.server.cfg.Interceptors = []ServerInterceptor{
			func(ctx context.Context, _ *CallInfo, next func(context.Context) error) error {
				tokens = append(tokens, participant.TraceFrom(ctx).Token())
				if len(tokens) == 1 {
					s.commit(v2, nil, caller) // newer rules change nothing for this trace
					return &Error{Code: Overloaded}
				}
				return next(ctx)
			},
		}
	}
	ctx, end := caller.begin(t.Context(), 9)
	defer end()
	if err := caller.call(ctx, "auth"); err != nil || len(tokens) != 2 || tokens[0] != tokens[1] {
		t.Errorf("%v, tokens %v", err, tokens)
	}
	s.check()
}

// A call that no caller waits for any more may yet be executed: until its
// deadline the caller's process reports its generation.
func TestWhatMayStillRunIsHeld(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller := s.caller("caller")
	s.start("auth", "v1")
	if err := caller.call(t.Context(), "auth"); err != nil { // connects
		t.Fatal(err)
	}
	ctx, end := caller.begin(t.Context(), 1)
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	impatient, giveUp := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, giveUp)
	if _, err := caller.stub("auth").Sleep(impatient, 10_000); CodeOf(err) != Canceled {
		t.Fatal(err)
	}
	end()
	if live := caller.agent.Live(); live[s.rules.Last()] != 1 {
		t.Errorf("%v are held after the caller gave up", live)
	}
	eventually(t, "the hold ends", func() bool { return len(caller.agent.Live()) == 0 })
	if took := time.Since(begin); took < 290*time.Millisecond {
		t.Errorf("the hold ended after %v, before the deadline", took)
	}
}

// While no release is under way a call pays 24 bytes and no memory for tokens.
func TestTokensAreCheap(t *testing.T) {
	token := rollout.Token{Generation: rollout.Generation{N: 5000}, Entry: 7, Seed: rollout.SeedOf("x")}
	call := &Call{Service: "auth"}
	size := func() int {
		b, err := appendCallHead(nil, 0, call, nil, "portal", time.Second, theader.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	without := size()
	call.routing.raw = string(token.AppendRaw(nil))
	if cost := size() - without; cost > 24 {
		t.Errorf("a token takes %d bytes of a call", cost)
	}

	s := newSite(t)
	s.commit(v1, nil)
	agent := s.caller("caller").agent
	root := agent.Begin("job", 1, "")
	defer root.End()
	allocs := func(ctx context.Context, agent *participant.Agent) float64 {
		srv := serve(t, ServerConfig{Rollout: agent}, &handler{})
		newStub := stub(
			t,
			client(t, ClientConfig{Rollout: agent}, &Endpoint{ID: srv.addr, Addr: srv.addr}),
			ServiceOptions{Timeout: 5 * time.Second},
		)
		return testing.AllocsPerRun(500, func() {
			if _, err := newStub().Who(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := allocs(root.Context(t.Context()), agent), allocs(t.Context(), nil); with > without+1 {
		t.Errorf("%v allocations a call with tokens, %v without", with, without)
	}
}

func TestBaggageBringsATokenThroughHTTP(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	auth := s.start("auth", "v1")
	token := s.rules.Token(77, "")
	plain := client(t, ClientConfig{}, auth.ep)
	tc, err := plain.Service("auth", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := WithBaggage(t.Context(), "a=b, "+BaggageToken+"="+token.String()+";p=1,c=d")
	if _, err := echo.NewEchoClient(tc).Who(ctx); err != nil {
		t.Fatal(err)
	}
	for _, garbled := range []string{"!", "AQ", token.String()[1:]} {
		_, err := echo.NewEchoClient(tc).Who(WithBaggage(t.Context(), BaggageToken+"="+garbled))
		wantCode(t, err, BadMessage, NotExecuted)
	}
	if got := s.history.Spans[0].Token; got != token || auth.agent.Orphans() != 0 {
		t.Errorf("joined %v, want %v", got, token)
	}
}

// TestCallsOfBeforeAreNamed: a token of commit 09c6cb7, as a process of then
// has sent it (generation 3, seed 77), executes nothing, and is counted.
func TestCallsOfBeforeAreNamed(t *testing.T) {
	log := &quietLog{}
	agent, _ := participant.New(participant.Config{Process: "h/1/a", Cluster: "site"})
	h := &handler{name: "b"}
	s := guarded(t, ServerConfig{Rollout: agent, Logger: slog.New(slog.NewTextHandler(log, nil))}, h)
	if _, err := s.Handle("auth", "v1", echo.NewEchoProcessor(h)); err != nil {
		t.Fatal(err)
	}
	c := client(t, ClientConfig{}, &Endpoint{ID: "b", Service: "auth", Addr: s.addr})
	tc, err := c.Service("auth", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := echo.NewEchoClient(tc).Who(WithBaggage(t.Context(), BaggageToken+"=AQADTQAAAAAAAAA"))
		if wantCode(t, err, BadMessage, NotExecuted); !strings.Contains(err.Error(), "before 0.2") {
			t.Errorf("the caller is told %v", err)
		}
	}
	if n := strings.Count(
		log.String(),
		"a process of skerry before 0.2",
	); n != 1 || s.Stats().Older != 3 ||
		h.calls.Load() != 0 {
		t.Errorf("%d calls counted, %d executed; logged %d times:\n%s", s.Stats().Older, h.calls.Load(), n, log)
	}
}
