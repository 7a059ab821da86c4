package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// sitePolicy is the policy of a test.
type sitePolicy struct{ table atomic.Pointer[policy.Table] }

func (s *sitePolicy) says(services map[string]*policy.Service) {
	s.table.Store(policy.Compile(&policy.Policy{Services: services}, nil, 0))
}

// of sets what the policy says about echo.
func (s *sitePolicy) of(rules policy.Service) {
	for i := range rules.Items {
		rules.Items[i].Service, rules.Items[i].Key = "echo", string(rules.Items[i].Kind)+"[0]"
	}
	s.says(map[string]*policy.Service{"echo": &rules})
}

func (s *sitePolicy) undo() { s.table.Store(nil) }

// governed is a client of the server with a policy, whose watched service is echo.
func governed(t *testing.T, s *testServer, o ServiceOptions) (*sitePolicy, *serviceClient, func() *echo.EchoClient) {
	t.Helper()
	site := &sitePolicy{}
	c := client(t, ClientConfig{Policy: site.table.Load, Health: health.NewRecorder(health.Config{})}, s.endpoint())
	tc, err := c.Service("echo", o)
	if err != nil {
		t.Fatal(err)
	}
	return site, tc.(*serviceClient), func() *echo.EchoClient { return echo.NewEchoClient(tc) }
}

// countedCalls sums the counts of the caller.
func countedCalls(s *serviceClient) map[health.Outcome]int64 {
	sum := map[health.Outcome]int64{}
	for _, row := range s.c.cfg.Health.Rows() {
		for o, n := range row.Outcomes {
			if n > 0 {
				sum[health.Outcome(o)] += n
			}
		}
	}
	return sum
}

// TestPolicySettings: each setting holds from the next call on, of the method before the service before "*", before the
// process's own options, field by field; an undone policy leaves these.
func TestPolicySettings(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	own := ServiceOptions{Timeout: 20 * time.Second, Retries: new(4), Idempotent: []string{"echo"},
		Breaker: Breaker{Calls: 7}}
	site, sc, call := governed(t, s, own)
	site.says(map[string]*policy.Service{
		"*": {Settings: policy.Settings{Timeout: new(time.Minute), Wait: new(3 * time.Second), BreakerRatio: new(90)}},
		"echo": {
			Settings: policy.Settings{Timeout: new(30 * time.Second), Idempotent: []string{"who"}, MaxRate: new(70)},
			Methods:  map[string]policy.Settings{"sleep": {Timeout: new(50 * time.Millisecond), Retries: new(0)}},
		}})
	who, slow := sc.rulesOf("who").o, sc.rulesOf("sleep").o
	if who.Timeout != 30*time.Second || who.Wait != 3*time.Second || *who.Retries != 4 || who.Breaker.Ratio != 90 ||
		who.Breaker.Calls != 7 || who.Limits.Rate != 70 || !who.idempotent("who") || who.idempotent("echo") {
		t.Errorf("of the service: %+v", who)
	}
	if slow.Timeout != 50*time.Millisecond || slow.Wait != 3*time.Second || *slow.Retries != 0 {
		t.Errorf("of the method: %+v", slow)
	}
	_, err := call().Sleep(t.Context(), 60_000)
	if CodeOf(err) != DeadlineExceeded {
		t.Errorf("over the time-out: %v", err)
	}
	site.undo()
	if got := sc.rulesOf("sleep").o; got.Timeout != own.Timeout || *got.Retries != 4 || got.Breaker != own.Breaker {
		t.Errorf("after the policy: %+v", got)
	}
	if _, err := call().Sleep(t.Context(), 100); err != nil {
		t.Errorf("after the policy: %v", err)
	}
	if internal, err := sc.c.Service("skerry.internal", ServiceOptions{}); err != nil ||
		internal.(*serviceClient).rulesOf("members").rules != nil {
		t.Errorf("skerry.internal obeys a policy, %v", err)
	}
}

// TestPolicyLimits: calls that are pending when max_pending is lowered count under it, and a method with a limit of its
// own does not count under the service's.
func TestPolicyLimits(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, _, call := governed(t, s, ServiceOptions{Timeout: time.Minute})
	site.of(policy.Service{Settings: policy.Settings{MaxPending: new(2)}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = call().Sleep(ctx, 60_000) })
	eventually(t, "one call is pending", func() bool { return s.handler.calls.Load() == 1 })
	if _, err := call().Who(t.Context()); err != nil {
		t.Errorf("the second of two: %v", err)
	}
	site.of(policy.Service{Settings: policy.Settings{MaxPending: new(1)},
		Methods: map[string]policy.Settings{"echo": {MaxPending: new(5)}}})
	_, err := call().Who(t.Context())
	wantCode(t, err, LimitExceeded, NotExecuted)
	if _, err := call().Echo(t.Context(), message(1)); err != nil {
		t.Errorf("a method with a limit of its own: %v", err)
	}
	site.undo()
	if _, err := call().Who(t.Context()); err != nil {
		t.Errorf("without the policy: %v", err)
	}
	cancel()
	wg.Wait()
}

// TestPolicyBreaker: an open breaker stays open while other rules change, another value begins a new one, and a method
// may have none.
func TestPolicyBreaker(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, sc, call := governed(t, s, ServiceOptions{})
	site.of(policy.Service{Settings: policy.Settings{BreakerCalls: new(3)}})
	for range 3 {
		wantCode(t, call().Fail(t.Context(), "error"), HandlerFailed, WasExecuted)
	}
	_, err := call().Who(t.Context())
	wantCode(t, err, BreakerOpen, NotExecuted)
	open := sc.rulesOf("who").breaker
	site.of(policy.Service{Settings: policy.Settings{BreakerCalls: new(3), Retries: new(0)},
		Methods: map[string]policy.Settings{"echo": {BreakerOff: new(true)}}})
	if sc.rulesOf("who").breaker != open || sc.rulesOf("fail").breaker != open {
		t.Error("the breaker was replaced, though its values are the same")
	}
	if _, err := call().Echo(t.Context(), message(1)); err != nil {
		t.Errorf("a method without a breaker: %v", err)
	}
	site.of(policy.Service{Settings: policy.Settings{BreakerCalls: new(4)}})
	if _, err := call().Who(t.Context()); err != nil {
		t.Errorf("with a new breaker: %v", err)
	}
}

func fault(edit func(*policy.Item)) policy.Service {
	item := policy.Item{Kind: "faults", Expires: time.Hour}
	edit(&item)
	return policy.Service{Items: []policy.Item{item}}
}

// TestPolicyFaults: each failure is told as if the callee had caused it, reaches no callee, opens no breaker, is not
// tried again, and is counted as injected. The condition is the caller's own zone and the trace.
func TestPolicyFaults(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, sc, call := governed(t, s, ServiceOptions{Retries: new(3), Breaker: Breaker{Calls: 2}})
	for name, want := range faults {
		site.of(fault(func(i *policy.Item) { i.Error = name }))
		_, err := call().Who(t.Context())
		wantCode(t, err, want.code, want.executed)
	}
	if n := s.handler.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the callee", n)
	}
	if got := countedCalls(sc); got[health.Injected] != int64(len(faults)) || len(got) != 1 {
		t.Errorf("counted as %v", got)
	}
	site.of(fault(func(i *policy.Item) { i.Error, i.Match.Zone = "timeout", []string{"elsewhere"} }))
	if _, err := call().Who(t.Context()); err != nil {
		t.Errorf("in another zone: %v", err)
	}
	site.of(fault(func(i *policy.Item) { i.Error, i.Match.Percent = "timeout", new(5_000) }))
	failed := 0
	for i := range 200 {
		trace := WithTrace(t.Context(), traceOf(i), "")
		_, first := call().Who(trace)
		_, second := call().Who(trace)
		if (first == nil) != (second == nil) {
			t.Fatalf("two calls of trace %d: %v, %v", i, first, second)
		}
		if first != nil {
			failed++
		}
	}
	if failed < 60 || failed > 140 {
		t.Errorf("%d of 200 traces have the fault, want about half", failed)
	}
}

func traceOf(i int) string {
	const digits = "0123456789abcdef"
	id := []byte("00-00000000000000000000000000000000-0000000000000001-01")
	id[3+30], id[3+31] = digits[1+i/16], digits[i%16]
	return string(id)
}

// TestPolicyDelay: a delay passes before the call, and the time that it leaves to the callee is not the callee's fault.
func TestPolicyDelay(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, sc, call := governed(t, s, ServiceOptions{Timeout: 10 * time.Second})
	site.of(fault(func(i *policy.Item) { i.Delay = 30 * time.Millisecond }))
	begun := time.Now()
	if _, err := call().Who(t.Context()); err != nil || time.Since(begun) < 30*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	rules := fault(func(i *policy.Item) { i.Delay = 30 * time.Millisecond })
	rules.Timeout = new(60 * time.Millisecond)
	site.of(rules)
	_, err := call().Sleep(t.Context(), 60_000)
	if CodeOf(err) != DeadlineExceeded {
		t.Errorf("over the time-out: %v", err)
	}
	rules.Timeout = new(10 * time.Millisecond)
	site.of(rules)
	_, err = call().Who(t.Context())
	wantCode(t, err, DeadlineExceeded, NotExecuted)
	if got := countedCalls(sc); got[health.Injected] != 2 || got[health.OK] != 1 || len(got) != 2 {
		t.Errorf("counted as %v", got)
	}
}

// TestPolicyFallback: a reply comes when the call has failed for good with one of the codes, or always; a fallback of
// the program precedes it, and one that does not fit leaves the failure.
func TestPolicyFallback(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, sc, call := governed(t, s, ServiceOptions{Retries: new(0)})
	reply := func(json string, on ...string) policy.Service {
		return policy.Service{Items: []policy.Item{{Kind: "fallback", On: on, Reply: []byte(json),
			Match: policy.Match{Method: []string{"who", "echo", "sleep", "fail"}}}}}
	}
	site.of(reply(`"nobody"`, "always"))
	if who, err := call().Who(t.Context()); err != nil || who != "nobody" || s.handler.calls.Load() != 0 {
		t.Errorf("always: %q, %v", who, err)
	}
	site.of(reply(`{}`, "handler_failed"))
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("a call that succeeds: %q, %v", who, err)
	}
	if err := call().Fail(t.Context(), "error"); err != nil {
		t.Errorf("a method without a reply: %v", err)
	}
	var refusal *echo.Refusal
	if err := call().Fail(t.Context(), "declared"); !errors.As(err, &refusal) {
		t.Errorf("a declared exception: %v", err)
	}
	site.of(reply(`{"text": "none", "number": 3}`, "unreachable", "connection_lost"))
	s.stop()
	if m, err := call().Echo(t.Context(), message(1)); err != nil || m.Text != "none" || m.Number != 3 {
		t.Errorf("by JSON: %v, %v", m, err)
	}
	_, err := call().Who(t.Context())
	e := wantCode(t, err, Unreachable, NotExecuted)
	if err.Error() == e.Error() {
		t.Errorf("a reply that does not fit is not told: %v", err)
	}
	if _, err := sc.Call(t.Context(), "echo", &Raw{}, &Raw{}); CodeOf(err) != Unreachable {
		t.Errorf("a program without generated code: %v", err)
	}
	site.of(policy.Service{Items: []policy.Item{{Kind: "fallback", On: []string{"unreachable"},
		Thrift: encoded(t, &echo.BaseWhoResult{Success: new("by thrift")})}}})
	if who, err := call().Who(t.Context()); err != nil || who != "by thrift" {
		t.Errorf("by Thrift: %q, %v", who, err)
	}
	if got := countedCalls(sc); got[health.Fallback] != 4 {
		t.Errorf("counted as %v, want 4 fallbacks", got)
	}
	coded, err := sc.c.Service("echo", ServiceOptions{Fallback: func(_ context.Context, call *Call, _ error) error {
		call.Result.(*echo.BaseWhoResult).Success = new("by the program")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := echo.NewEchoClient(coded).Who(t.Context()); err != nil || who != "by the program" {
		t.Errorf("a fallback of the program: %q, %v", who, err)
	}
}

func encoded(t *testing.T, s thrift.TStruct) []byte {
	t.Helper()
	w := flat.NewWriter(flat.Binary, 1<<20)
	defer w.Free()
	if err := s.Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return append([]byte(nil), w.Bytes()...)
}

// TestPolicyOnTheCallPath: finding what holds for a call allocates nothing, with and without items that do not match.
func TestPolicyOnTheCallPath(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	site, sc, _ := governed(t, s, ServiceOptions{})
	check := func(what string) {
		t.Helper()
		call := &Call{Service: "echo", Method: "who"}
		a := &attempt{s: sc, ctx: &callContext{base: WithBaggage(context.Background(), "tenant=t1")}, call: call}
		n := testing.AllocsPerRun(1000, func() {
			call.rules = sc.rulesOf("who")
			if err := sc.disturb(a.ctx, call); err != nil {
				t.Fatal(err)
			}
			a.place()
		})
		if n > 0 && !raceDetector {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	check("without a policy")
	site.of(policy.Service{Settings: policy.Settings{Retries: new(2)}})
	check("with settings")
	var items []policy.Item
	for _, kind := range []policy.Kind{"route", "faults", "fallback", "mirror", "faults"} {
		items = append(items, policy.Item{Kind: kind, Match: policy.Match{
			Baggage: map[string][]string{"tenant": {"t7"}}}})
	}
	site.of(policy.Service{Items: items})
	check("with items")
}

// BenchmarkPolicyOfCaller measures what a policy adds to a call: one that says nothing about it, one with settings, and
// one with five items of which none, or each, matches.
func BenchmarkPolicyOfCaller(b *testing.B) {
	items := func(tenant string) policy.Service {
		all := policy.Service{}
		for i, kind := range []policy.Kind{"faults", "faults", "route", "route", "fallback"} {
			match := policy.Match{Method: []string{"who"}, Baggage: map[string][]string{"tenant": {tenant}}}
			if i%2 == 0 { // the first of its kind fails by its last condition
				match.Mark = []string{"drill"}
			}
			all.Items = append(all.Items, policy.Item{Kind: kind, Match: match, On: []string{"timeout"}})
		}
		return all
	}
	settings := policy.Service{Settings: policy.Settings{Retries: new(0)}}
	for _, bc := range []struct {
		name     string
		services map[string]*policy.Service
	}{
		{"none", nil},
		{"other service", map[string]*policy.Service{"other": &settings}},
		{"settings", map[string]*policy.Service{"echo": &settings}},
		{"five items, no match", map[string]*policy.Service{"echo": new(items("t7"))}},
		{"five items, match", map[string]*policy.Service{"echo": new(items("t1"))}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			site := &sitePolicy{}
			if bc.services != nil {
				site.says(bc.services)
			}
			c, err := NewClient(ClientConfig{Resolver: Static(), Policy: site.table.Load})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			tc, err := c.Service("echo", ServiceOptions{})
			if err != nil {
				b.Fatal(err)
			}
			s, call := tc.(*serviceClient), &Call{Service: "echo", Method: "who"}
			a := &attempt{s: s, call: call, ctx: &callContext{base: WithBaggage(b.Context(), "tenant=t1")}}
			b.ReportAllocs()
			for b.Loop() {
				call.rules = s.rulesOf("who")
				if err := s.disturb(a.ctx, call); err != nil {
					b.Fatal(err)
				}
				a.place()
			}
		})
	}
}

// TestPolicyMirror: a copy of an idempotent call is sent in a trace of its own, once, without the members of the call's
// trace. In a mirrored trace, calls of other methods are refused, and are not copied again.
func TestPolicyMirror(t *testing.T) {
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 10)
	s := serve(t, ServerConfig{}, &handler{name: "a", seen: func(ctx context.Context) {
		seen <- CallInfoFrom(ctx).Baggage
	}})
	site := &sitePolicy{}
	c := client(t, ClientConfig{Policy: site.table.Load, Rollout: agent, Health: health.NewRecorder(health.Config{})},
		s.endpoint())
	tc, err := c.Service("echo", ServiceOptions{Idempotent: []string{"who"}})
	if err != nil {
		t.Fatal(err)
	}
	call := echo.NewEchoClient(tc)
	mirror := func(mark string) {
		site.of(policy.Service{Items: []policy.Item{{Kind: "mirror", To: policy.Target{Mark: mark}}}})
	}
	who := func(baggage string, want ...string) {
		t.Helper()
		if name, err := call.Who(WithBaggage(t.Context(), baggage)); err != nil || name != "a" {
			t.Errorf("the call itself: %q, %v", name, err)
		}
		got := map[string]bool{}
		for range want {
			got[<-seen] = true
		}
		for _, w := range want {
			if !got[w] {
				t.Errorf("calls with the baggage %v, want %q", got, want)
			}
		}
	}
	mirror("shadow")
	who("tenant=t1,skerry-key=alice", "tenant=t1,skerry-key=alice", "skerry-mirror=1,tenant=t1")
	eventually(t, "the copy is counted", func() bool { return countedCalls(tc.(*serviceClient))[health.Mirrored] == 1 })
	if _, err := call.Echo(t.Context(), message(1)); err != nil {
		t.Errorf("a method that is not idempotent: %v", err)
	}
	_, err = call.Echo(WithBaggage(t.Context(), "skerry-mirror=1"), message(1))
	wantCode(t, err, Shadow, NotExecuted)
	who("skerry-mirror=1", "skerry-mirror=1")
	mirror("preview") // sleeps without a release
	who("", "")
	if got := countedCalls(tc.(*serviceClient)); got[health.Mirrored] != 3 || got[health.OK] != 3 ||
		len(got) != 2 || len(seen) != 0 {
		t.Errorf("counted as %v, %d more calls", got, len(seen))
	}
}

// TestCopiesAreBounded: copies have bounds of number and of bytes, and give back what they took.
func TestCopiesAreBounded(t *testing.T) {
	var c copying
	if c.begin(copyBytes+1) || !c.begin(copyBytes) || c.begin(1) {
		t.Error("the bound of bytes does not hold")
	}
	c.end(copyBytes)
	for i := range mostCopies {
		if !c.begin(1) {
			t.Fatalf("copy %d is over the bound", i)
		}
	}
	if c.begin(1) {
		t.Error("the bound of calls does not hold")
	}
	for range mostCopies {
		c.end(1)
	}
	if c.calls.Load() != 0 || c.bytes.Load() != 0 {
		t.Errorf("%d copies with %d bytes are left", c.calls.Load(), c.bytes.Load())
	}
}

// TestLanesOfEntries: a call at an entry method gets the mark of the first lane that matches, unless it brings one.
func TestLanesOfEntries(t *testing.T) {
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	lanes := &rules{}
	lanes.table.Store(policy.Compile(&policy.Policy{Lanes: []policy.Item{
		{Kind: "lanes", Gets: "drill", Match: policy.Match{Method: []string{"who"}, IP: []string{"127.*"},
			Baggage: map[string][]string{"tenant": {"t7"}}}},
		{Kind: "lanes", Gets: "preview", Match: policy.Match{Baggage: map[string][]string{"tenant": {"t8"}}}},
	}}, nil, 0))
	marks := make(chan string, 1)
	s := serve(t, ServerConfig{Rollout: agent, Policy: lanes, Entry: func(string, string) bool { return true }},
		&handler{seen: func(ctx context.Context) { marks <- participant.TraceFrom(ctx).Token().Mark }})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	for baggage, want := range map[string]string{
		"tenant=t7": "drill", "tenant=t1": "", "tenant=t8": "", "tenant=t7,skerry-mark=own": "own",
	} {
		if _, err := call().Who(WithBaggage(t.Context(), baggage)); err != nil {
			t.Fatal(err)
		}
		if got := <-marks; got != want {
			t.Errorf("%s: the mark is %q, want %q", baggage, got, want)
		}
	}
}

// TestPolicyRoutes: a call that the policy's route leads nowhere fails as no_instance, also when its version has
// instances.
func TestPolicyRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := &Call{Version: "v2", Route: &policy.Item{Else: "none"}}
		a := &attempt{call: call, ctx: &callContext{base: t.Context()}}
		p := routing{}
		if !a.keptAway(p) || a.call.Route == nil || a.call.TryAgain {
			t.Error("the route keeps the call from the instances of v2")
		}
		a.call.Version = "v3"
		if a.keptAway(p) {
			t.Error("v3 has no instances")
		}
	})
}

// routing has an instance of v2 that no route leads to.
type routing struct{ Picker }

func (routing) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	if call.Route == nil && call.Version == "v2" {
		return &Endpoint{}, nil
	}
	return nil, ErrNoInstance
}
