package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
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

// portalSite is a site where portal's request goes to auth and proc at once, and from these to db.
// audit gets a one-way call.
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

func TestTheWrongVersionNeverExecutes(t *testing.T) {
	s := newSite(t)
	s.wait = 50 * time.Millisecond
	s.commit(v1, nil)
	caller, other := s.caller("caller"), s.start("auth", "v2")
	other.ep.Version = "v1" // the list is outdated: another version was started there
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	if e := wantCode(t, caller.call(ctx, "auth"), Unreachable, NotExecuted); !errors.Is(e, ErrOther) {
		t.Errorf("got %v, want ErrOther", e)
	}
	// When the caller does not send the version that it means, the callee decides.
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
	s.wait = 50 * time.Millisecond
	s.commit(v1, nil)
	caller, other := s.caller("caller"), s.start("auth", "v2")
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	wantCode(t, caller.call(ctx, "auth"), VersionUnavailable, NotExecuted)
	if other.executed.Load() != 0 {
		t.Error("another version executed it")
	}
}

// A trace from before a service's first rule stays with the version of that time.
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
	if err := caller.call(hurried, "auth"); CodeOf(err) != VersionUnavailable ||
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

// Servers without tokens are called as before.
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

// A call without a waiting caller may yet be executed. Until its deadline the caller's process
// reports its generation.
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

// While no release is under way, tokens cost a call 24 bytes and no memory.
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
	ctx := WithBaggage(t.Context(), "a=b, "+tracecontext.TokenMember+"="+token.String()+";p=1,c=d")
	if _, err := echo.NewEchoClient(tc).Who(ctx); err != nil {
		t.Fatal(err)
	}
	for _, garbled := range []string{"!", "AQ", token.String()[1:]} {
		_, err := echo.NewEchoClient(tc).Who(WithBaggage(t.Context(), tracecontext.TokenMember+"="+garbled))
		wantCode(t, err, BadMessage, NotExecuted)
	}
	if got := s.history.Spans[0].Token; got != token || auth.agent.Orphans() != 0 {
		t.Errorf("joined %v, want %v", got, token)
	}
}
