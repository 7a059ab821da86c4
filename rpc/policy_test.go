package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/policy"
)

// rules is a site's policy for tests.
type rules struct {
	table  atomic.Pointer[policy.Table]
	living atomic.Int64
}

func (r *rules) Table() *policy.Table { return r.table.Load() }
func (r *rules) Living(string) int    { return int(r.living.Load()) }

func (r *rules) set(s *policy.Service) {
	r.table.Store(policy.Compile(&policy.Policy{Services: map[string]*policy.Service{"echo": s}}, nil, 0))
}

func ruled(s *policy.Service) *rules {
	r := &rules{}
	r.set(s)
	return r
}

// guard is access with items of one kind.
func guard(a policy.Access, kind policy.Kind, matches ...policy.Match) *policy.Service {
	s := &policy.Service{Access: &a}
	for i, m := range matches {
		s.Items = append(s.Items, policy.Item{Kind: kind, Service: "echo", Match: m,
			Key: fmt.Sprintf("services.echo.access.%s[%d]", kind, i)})
	}
	return s
}

func limits(items ...policy.Item) *policy.Service {
	s := &policy.Service{}
	for i, item := range items {
		item.Kind, item.Service, item.Key = "limits", "echo", fmt.Sprintf("services.echo.limits[%d]", i)
		s.Items = append(s.Items, item)
	}
	return s
}

// inHour is the number of instances among which a limit of one call a second leaves each one call an hour, so that a
// test on a slow machine does not wait for the next one.
const inHour = 3600

func hourlyLimit(burst int, m policy.Match) policy.Item {
	return policy.Item{Match: m, Rate: 1, Burst: burst * inHour, Per: "site"}
}

func hourly(items ...policy.Item) *rules {
	r := ruled(limits(items...))
	r.living.Store(inHour)
	return r
}

var once = ServiceOptions{Retries: new(int)}

// TestAccess: what is audited is executed and counted, what is enforced is refused before it runs, and what is allowed
// is neither.
func TestAccess(t *testing.T) {
	legacy := policy.Match{Caller: []string{"legacy"}, Method: []string{"wh*"}}
	site, stats := ruled(guard(policy.Access{}, "deny", legacy)), health.NewRecorder(health.Config{})
	s := serve(t, ServerConfig{Policy: site, Health: stats}, &handler{})
	old := stub(t, client(t, ClientConfig{Caller: "legacy"}, s.endpoint()), once)
	web := stub(t, client(t, ClientConfig{Caller: "web"}, s.endpoint()), once)
	for range 2 {
		if _, err := old().Who(t.Context()); err != nil {
			t.Fatalf("while it is audited: %v", err)
		}
	}
	all, others := s.DeniedCalls()
	want := DeniedCalls{Service: "echo", Method: "who", Caller: "legacy", Proof: "name",
		Item: "services.echo.access.deny[0]", Calls: 2}
	if len(all) != 1 || others != 0 || all[0].First.IsZero() || all[0].Last.Before(all[0].First) {
		t.Fatalf("audited: %+v, %d others", all, others)
	}
	if all[0].First, all[0].Last = want.First, want.Last; all[0] != want {
		t.Errorf("audited: %+v, want %+v", all[0], want)
	}
	site.set(guard(policy.Access{Enforce: true}, "deny", legacy))
	calls := s.handler.calls.Load()
	_, err := old().Who(t.Context())
	wantCode(t, err, AccessDenied, NotExecuted)
	for _, part := range []string{"legacy (a name without proof)", "echo.who", "services.echo.access.deny[0]"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if s.handler.calls.Load() != calls {
		t.Error("a denied call was executed")
	}
	if _, err := old().Sleep(t.Context(), 0); err != nil {
		t.Errorf("another method: %v", err)
	}
	if _, err := web().Who(t.Context()); err != nil {
		t.Errorf("another caller: %v", err)
	}
	if n := outcomes(stats)["who"]; n[health.Denied] != 1 || n[health.OK] != 3 {
		t.Errorf("counted: %v", n)
	}
	if all, _ := s.DeniedCalls(); len(all) != 2 || !all[1].Enforced || all[1].Calls != 1 {
		t.Errorf("enforced: %+v", all)
	}
	site.table.Store(nil)
	if _, err := old().Who(t.Context()); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// TestAccessByDefault: a default of deny refuses callers that no item allows, also those without a name.
func TestAccessByDefault(t *testing.T) {
	closed := policy.Access{Enforce: true, Deny: true}
	site := ruled(guard(closed, "allow", policy.Match{Caller: []string{"web", "ip:127.0.0.1"}}))
	s := serve(t, ServerConfig{Policy: site}, &handler{})
	for caller, allowed := range map[string]bool{"web": true, "": true, "report": false} {
		_, err := stub(t, client(t, ClientConfig{Caller: caller}, s.endpoint()), once)().Who(t.Context())
		if allowed && err != nil || !allowed && CodeOf(err) != AccessDenied {
			t.Errorf("caller %q: %v", caller, err)
		}
	}
	site.set(guard(closed, "allow", policy.Match{Caller: []string{"web"}}))
	_, err := stub(t, client(t, ClientConfig{}, s.endpoint()), once)().Who(t.Context())
	wantCode(t, err, AccessDenied, NotExecuted)
	if !strings.Contains(err.Error(), "ip:127.0.0.1") || !strings.Contains(err.Error(), "default is deny") {
		t.Errorf("the text is %q", err)
	}
}

// TestPolicyMatches: each condition holds for the calls that it is about, and for no others.
func TestPolicyMatches(t *testing.T) {
	half := 5000
	for name, test := range map[string]struct {
		match policy.Match
		facts func() (string, string, map[string]string)
		ctx   func(context.Context) context.Context
		other bool // the call has to be executed
	}{
		"method":                 {match: policy.Match{Method: []string{"who"}}},
		"another method":         {match: policy.Match{Method: []string{"echo"}}, other: true},
		"caller":                 {match: policy.Match{Caller: []string{"web"}}},
		"another caller":         {match: policy.Match{Caller: []string{"!web"}}, other: true},
		"zone":                   {match: policy.Match{Zone: []string{"north"}}},
		"another zone":           {match: policy.Match{Zone: []string{"south"}}, other: true},
		"caller version":         {match: policy.Match{CallerVersion: []string{"v7"}}},
		"another caller version": {match: policy.Match{CallerVersion: []string{"v8"}}, other: true},
		"tag":                    {match: policy.Match{Tag: map[string][]string{"unit": {"pump"}}}},
		"another tag":            {match: policy.Match{Tag: map[string][]string{"unit": {"fan"}}}, other: true},
		"host":                   {match: policy.Match{Host: []string{"h3"}}},
		"another host":           {match: policy.Match{Host: []string{"h4"}}, other: true},
		"version":                {match: policy.Match{Version: []string{"v1"}}},
		"another version":        {match: policy.Match{Version: []string{"v2"}}, other: true},
		"baggage":                {match: policy.Match{Baggage: map[string][]string{"tenant": {"t7"}}}},
		"another baggage":        {match: policy.Match{Baggage: map[string][]string{"tenant": {"t8"}}}, other: true},
		"mark":                   {match: policy.Match{Mark: []string{"drill"}}},
		"another mark":           {match: policy.Match{Mark: []string{"preview"}}, other: true},
		"percent": {match: policy.Match{Percent: &half}, other: true, ctx: func(ctx context.Context) context.Context {
			return WithTrace(ctx, traceWithin(half, false), "")
		}},
		"percent of others": {match: policy.Match{Percent: &half}, ctx: func(ctx context.Context) context.Context {
			return WithTrace(ctx, traceWithin(half, true), "")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			site := ruled(guard(policy.Access{Enforce: true}, "deny", test.match))
			s := serve(t, ServerConfig{Policy: site, Host: "h3"}, &handler{})
			c := client(t, ClientConfig{Caller: "web", Facts: func() (string, string, map[string]string) {
				return "north", "v7", map[string]string{"unit": "pump"}
			}}, s.endpoint())
			ctx := WithBaggage(t.Context(), "tenant=t7,skerry-mark=drill")
			if test.ctx != nil {
				ctx = test.ctx(ctx)
			}
			_, err := stub(t, c, once)().Who(ctx)
			if test.other && err != nil || !test.other && CodeOf(err) != AccessDenied {
				t.Errorf("got %v", err)
			}
		})
	}
}

// traceWithin is a traceparent that is, or is not, within a percent of an item without a name.
func traceWithin(percent int, within bool) string {
	table := policy.Compile(&policy.Policy{Services: map[string]*policy.Service{
		"echo": guard(policy.Access{}, "deny", policy.Match{Percent: &percent}),
	}}, nil, 0)
	for i := 1; ; i++ {
		trace := fmt.Sprintf("00-%032x-00000000000000aa-01", i)
		q := &policy.Request{Seed: seedOf(&CallInfo{Trace: trace}), Seeded: true}
		if allowed, _, _ := table.Rules("echo", "who").Access(q); allowed != within {
			return trace
		}
	}
}

// TestCallerNames: a certificate that TLS has verified has the name, whatever the caller says.
func TestCallerNames(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.9:4000")
	cert := func(cn string, names ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: names}
	}
	for _, test := range []struct {
		peer                 PeerInfo
		claimed, want, proof string
	}{
		{PeerInfo{Addr: at}, "web", "web", byName},
		{PeerInfo{Addr: at}, "", "ip:10.0.0.9", byAddress},
		{PeerInfo{Addr: at}, unnamed, "ip:10.0.0.9", byAddress},
		{PeerInfo{Addr: at, Certificate: cert("web")}, "portal", "web", byCertificate},
		{PeerInfo{Addr: at, Certificate: cert("", "web", "report")}, "report", "report", byCertificate},
		{PeerInfo{Addr: at, Certificate: cert("web", "report")}, "", "web", byCertificate},
		{PeerInfo{Addr: at, Certificate: cert("")}, "portal", "ip:10.0.0.9", byAddress},
		{PeerInfo{}, "", "ip:", byAddress},
	} {
		if got, proof := test.peer.caller(test.claimed); got != test.want || proof != test.proof {
			t.Errorf("%+v: %q by %s, want %q by %s", test, got, proof, test.want, test.proof)
		}
	}
}

// TestPolicyLeavesInternalServices: no policy refuses calls of the framework's own services.
func TestPolicyLeavesInternalServices(t *testing.T) {
	site := &rules{}
	site.table.Store(policy.Compile(&policy.Policy{Services: map[string]*policy.Service{
		policy.Every: {Access: &policy.Access{Enforce: true, Deny: true}},
	}}, nil, 0))
	s := guarded(t, ServerConfig{Policy: site, Site: siteOf(t, ownerB, 1), Identity: identityOf(ownerB, 1)}, &handler{})
	e := s.endpoint()
	e.Site = true
	inside := client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e)
	if _, err := internalStub(inside, e).Who(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := stub(t, client(t, ClientConfig{}, s.endpoint()), once)().Who(t.Context())
	wantCode(t, err, AccessDenied, NotExecuted)
}

// TestLimitOfPending: calls over a limit are refused before they run, and each call gives its place back.
func TestLimitOfPending(t *testing.T) {
	stats := health.NewRecorder(health.Config{})
	site := ruled(limits(policy.Item{Name: "two", Pending: 2, Per: "instance"}))
	s := serve(t, ServerConfig{Policy: site, Health: stats}, &handler{})
	one := stub(t, client(t, ClientConfig{}, s.endpoint()), once)
	var calls sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		calls.Go(func() {
			if _, err := one().Sleep(ctx, 60_000); CodeOf(err) != Canceled {
				t.Error(err)
			}
		})
	}
	eventually(t, "two calls run", func() bool { return s.handler.calls.Load() == 2 })
	// Another table with the same limit knows of the running calls.
	for range 2 {
		_, err := one().Who(t.Context())
		wantCode(t, err, Limited, NotExecuted)
		if !strings.Contains(err.Error(), "services.echo.limits[0] (two)") {
			t.Errorf("the text is %q", err)
		}
		site.set(limits(policy.Item{Name: "two", Pending: 2, Per: "instance"}))
	}
	cancel()
	calls.Wait()
	eventually(t, "the calls have ended", func() bool { return s.Stats().Running == 0 })
	for range 10 { // the places are free again, and each call gives its place back
		if _, err := one().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := outcomes(stats)["who"]; n[health.Limited] != 2 || n[health.OK] != 10 {
		t.Errorf("counted: %v", n)
	}
}

// TestLimitOfSite: a limit of the site is divided by the instances that live.
func TestLimitOfSite(t *testing.T) {
	for _, test := range []struct {
		item          policy.Item
		living        int
		most          int64
		interval, now time.Duration
		atOnce        int
	}{
		{policy.Item{Pending: 500, Per: "instance"}, 5, 500, 0, 0, 500},
		{policy.Item{Pending: 500, Per: "site"}, 3, 166, 0, 0, 166},
		{policy.Item{Pending: 2, Per: "site"}, 5, 1, 0, 0, 1},
		{policy.Item{Rate: 50, Burst: 10, Per: "site"}, 5, 0, 100 * time.Millisecond, 0, 2},
		{policy.Item{Rate: 50, Burst: 10, Per: "instance"}, 5, 0, 20 * time.Millisecond, 0, 10},
		{policy.Item{Rate: 3, Per: "site"}, 7, 0, 7 * time.Second / 3, 0, 1},
	} {
		u := newGateUse(&policyGate{}, &test.item, "echo", calleeShare(&test.item, test.living))
		n := 0
		for n <= 1000 && u.enter(int64(test.now)) == nil {
			n++
		}
		if u.most != test.most || time.Duration(u.interval) != test.interval || n != test.atOnce {
			t.Errorf("%+v: most %d, interval %v, %d at once", test, u.most, time.Duration(u.interval), n)
		}
	}
}

// TestLimitOfSiteWithoutAList: while the instances of a service are not known, the limit is looked at again soon, so
// that each takes its share as soon as the list is there.
func TestLimitOfSiteWithoutAList(t *testing.T) {
	site := ruled(limits(policy.Item{Pending: 12, Per: "site"}))
	server := &Server{cfg: ServerConfig{Policy: site}}
	item := &policy.Item{Pending: 12, Per: "site"}
	now := time.Now()
	p := &policed{table: site.Table(), checked: now}
	if u := p.gate(server, "echo", item); u.most != 12 {
		t.Errorf("without a list %d calls at a time, want 12", u.most)
	}
	if age := now.Sub(p.checked); age != policyEvery-unlistedEvery {
		t.Errorf("without a list it is looked at after %v, want %v", policyEvery-age, unlistedEvery)
	}
	site.living.Store(3)
	p = &policed{table: site.Table(), checked: now}
	if u := p.gate(server, "echo", item); u.most != 4 || p.checked != now {
		t.Errorf("with a list of 3: %d calls at a time, want 4; looked at %v ago", u.most, now.Sub(p.checked))
	}
}

// TestRateInVirtualTime: in no window do more calls pass than the burst and the rate's share of the window, and a
// caller that keeps below the rate is never refused.
func TestRateInVirtualTime(t *testing.T) {
	r := chance.Rand(t, 61)
	for range 200 {
		item := policy.Item{Rate: 1 + r.IntN(500), Burst: r.IntN(20), Per: "site"}
		living := 1 + r.IntN(8)
		u := newGateUse(&policyGate{}, &item, "echo", calleeShare(&item, living))
		burst := u.ahead / u.interval
		var passed []int64
		now := int64(0)
		for range 400 {
			now += r.Int64N(2 * u.interval)
			if u.enter(now) == nil {
				passed = append(passed, now)
				u.gate.pending.Add(-1)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if most := burst + (passed[j]-passed[i])/u.interval; int64(j-i+1) > most {
					t.Fatalf("%+v of %d: %d calls in %v, at most %d may pass", item, living, j-i+1,
						time.Duration(passed[j]-passed[i]), most)
				}
			}
		}
		now += u.ahead
		for range 100 {
			if now += u.interval; u.enter(now) != nil {
				t.Fatalf("%+v of %d: a call at the rate is refused", item, living)
			}
			u.gate.pending.Add(-1)
		}
	}
}

// TestLimitsAreAll: all limits that match hold, and a refused call spends nothing of those before it.
func TestLimitsAreAll(t *testing.T) {
	site := hourly(
		hourlyLimit(3, policy.Match{}),
		hourlyLimit(1, policy.Match{Caller: []string{"report"}}),
	)
	s := serve(t, ServerConfig{Policy: site}, &handler{})
	report := stub(t, client(t, ClientConfig{Caller: "report"}, s.endpoint()), once)
	web := stub(t, client(t, ClientConfig{Caller: "web"}, s.endpoint()), once)
	if _, err := report().Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := report().Who(t.Context()); CodeOf(err) != Limited || !strings.Contains(err.Error(), "limits[1]") {
			t.Fatalf("the second call of report: %v", err)
		}
	}
	for range 2 { // of the burst of 3 one is spent
		if _, err := web().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := web().Who(t.Context()); CodeOf(err) != Limited || !strings.Contains(err.Error(), "limits[0]") {
		t.Errorf("the fourth call: %v", err)
	}
}

// TestRefusedCallsSpendNothing: a call that is refused for another reason, after the policy let it pass, gives back
// what it took of the limits.
func TestRefusedCallsSpendNothing(t *testing.T) {
	site := hourly(hourlyLimit(2, policy.Match{}))
	s := serve(t, ServerConfig{Policy: site, MaxConnCalls: 1}, &handler{})
	one := stub(t, client(t, ClientConfig{}, s.endpoint()), once)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := one().Sleep(ctx, 60_000); ended <- err }()
	eventually(t, "a call runs", func() bool { return s.handler.calls.Load() == 1 })
	for range 5 {
		_, err := one().Who(t.Context())
		wantCode(t, err, Overloaded, NotExecuted)
	}
	cancel()
	<-ended
	eventually(t, "it has ended", func() bool { return s.Stats().Running == 0 })
	if _, err := one().Who(t.Context()); err != nil {
		t.Errorf("the second call of a burst of two: %v", err)
	}
}

// TestLimitedGoesElsewhere: a call that is over the limit of one instance is sent to another one.
func TestLimitedGoesElsewhere(t *testing.T) {
	full := serve(t, ServerConfig{Policy: hourly(hourlyLimit(1, policy.Match{}))}, &handler{})
	free := serve(t, ServerConfig{}, &handler{})
	one := stub(t, client(t, ClientConfig{}, full.endpoint(), free.endpoint()), ServiceOptions{})
	for range 40 {
		if _, err := one().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if full.handler.calls.Load() > 1 || full.Stats().Refused == 0 {
		t.Errorf("the limited instance executed %d calls, refused %d", full.handler.calls.Load(), full.Stats().Refused)
	}
}

// TestPolicyOpensNoBreaker: calls that the policy refuses do not count for the caller's breaker.
func TestPolicyOpensNoBreaker(t *testing.T) {
	site := ruled(guard(policy.Access{Enforce: true}, "deny", policy.Match{Method: []string{"who"}}))
	s := serve(t, ServerConfig{Policy: site}, &handler{})
	one := stub(t, client(t, ClientConfig{}, s.endpoint()), once)
	for range 50 {
		_, err := one().Who(t.Context())
		wantCode(t, err, AccessDenied, NotExecuted)
	}
	site.living.Store(inHour)
	site.set(limits(hourlyLimit(1, policy.Match{})))
	_, _ = one().Who(t.Context())
	for range 50 {
		_, err := one().Who(t.Context())
		wantCode(t, err, Limited, NotExecuted)
	}
}

// TestPolicyOfLearnedMethods: a service that lists no methods, such as one behind a proxy, obeys the policy by the
// name of each method, also beyond the methods that are counted separately.
func TestPolicyOfLearnedMethods(t *testing.T) {
	s := &Server{cfg: ServerConfig{Policy: ruled(guard(policy.Access{Enforce: true}, "deny",
		policy.Match{Method: []string{"m1", "m299", "m298*"}}))}}
	v := &served{name: "echo"}
	known := map[*method]*counted{}
	for range 2 {
		for i := range maxLearned + 100 {
			name := fmt.Sprint("m", i)
			kind := v.method(name)
			if known[kind] == nil {
				known[kind] = &counted{}
			}
			r := &serverCall{conn: &serverConn{s: s}, kind: kind, served: v, counted: known[kind]}
			r.info.Method, r.info.from = name, &PeerInfo{}
			denied := name == "m1" || name == "m299" || name == "m298"
			if code, err := r.obeyPolicy(time.Now()); (code == AccessDenied) != denied || (err != nil) != denied {
				t.Fatalf("%s: %v, %v", name, code, err)
			}
		}
	}
	if all, _ := s.DeniedCalls(); len(all) != 2 || all[0].Method != health.Overflow || all[0].Calls != 4 {
		t.Errorf("counted: %+v", all)
	}
}

// TestDrainingBeforePolicy: a server that is stopping refuses calls as such, so that they go to another instance at
// once, and spends nothing of a limit.
func TestDrainingBeforePolicy(t *testing.T) {
	s := &Server{cfg: ServerConfig{Policy: ruled(guard(policy.Access{Enforce: true, Deny: true}, "allow"))}}
	r := &serverCall{conn: &serverConn{s: s}, kind: &method{name: "who"}, served: &served{name: "echo"},
		counted: &counted{}}
	r.info.Method, r.info.from = "who", &PeerInfo{}
	if code, err := r.obeyPolicy(time.Now()); code != AccessDenied {
		t.Errorf("before: %v, %v", code, err)
	}
	s.draining.Store(true)
	if code, err := r.obeyPolicy(time.Now()); err != nil {
		t.Errorf("while it drains: %v, %v", code, err)
	}
}

// TestAccessByCertificate: with mutual TLS the certificate names the caller, for skerry clients and plain ones.
func TestAccessByCertificate(t *testing.T) {
	ca, pool := authority(t)
	site := ruled(guard(policy.Access{Enforce: true, Deny: true}, "allow", policy.Match{Caller: []string{"web"}}))
	s := serve(t, ServerConfig{Policy: site, TLS: &tls.Config{
		Certificates: []tls.Certificate{ca(t, "127.0.0.1")},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}}, &handler{})
	e := s.endpoint()
	e.TLS = true
	plain := plainEndpoint(s.addr)
	plain.TLS = true
	for _, test := range []struct {
		certificate, caller string
		to                  *Endpoint
		allowed             bool
	}{
		{"web", "web", e, true},
		{"web", "", e, true},
		{"web", "legacy", e, true},
		{"legacy", "web", e, false},
		{"web", "", plain, true},
		{"legacy", "", plain, false},
	} {
		conf := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{ca(t, test.certificate)}}
		c := client(t, ClientConfig{Caller: test.caller, TLS: conf, ConnectTimeout: 2 * time.Second}, test.to)
		_, err := stub(t, c, once)().Who(t.Context())
		denied := err != nil && strings.Contains(err.Error(), "access_denied")
		if test.allowed && err != nil || !test.allowed && !denied {
			t.Errorf("%s by the certificate of %s: %v", test.caller, test.certificate, err)
		}
	}
}

// TestPlainClientsObey: limits and access bind plain Thrift clients, as their address.
func TestPlainClientsObey(t *testing.T) {
	site := ruled(guard(policy.Access{Enforce: true}, "deny", policy.Match{Caller: []string{"ip:127.0.0.1"}}))
	s := serve(t, ServerConfig{Policy: site}, &handler{})
	one := stub(t, client(t, ClientConfig{Caller: "web"}, plainEndpoint(s.addr)), once)
	_, err := one().Who(t.Context())
	if err == nil || !strings.Contains(err.Error(), "access_denied") || s.handler.calls.Load() != 0 {
		t.Errorf("%v, %d calls were executed", err, s.handler.calls.Load())
	}
	site.living.Store(inHour)
	site.set(limits(hourlyLimit(1, policy.Match{})))
	if _, err := one().Who(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := one().Who(t.Context()); err == nil || !strings.Contains(err.Error(), "limited") {
		t.Errorf("the second call: %v", err)
	}
}

// TestLimitsOutliveTables: what runs counts on under other tables, also after two changes without a call.
func TestLimitsOutliveTables(t *testing.T) {
	tables := make([]*policy.Table, 4)
	items := make([]*policy.Item, 4)
	for i := range tables {
		s := limits(policy.Item{Pending: 10 + i, Per: "instance"}, policy.Item{Pending: 5, Per: "instance"})
		items[i] = &s.Items[0]
		tables[i] = policy.Compile(&policy.Policy{Services: map[string]*policy.Service{"echo": s}}, nil, 0)
	}
	var g policyGates
	first := g.of(tables[0], "echo", items[0])
	first.pending.Add(1)
	if g.of(tables[1], "other", items[1]) == first {
		t.Error("two services share a limit")
	}
	g.of(tables[2], "other", items[2])
	if g.of(tables[3], "echo", items[3]) != first {
		t.Error("a limit forgets its running calls")
	}
	twin := *items[3]
	if g.of(tables[3], "echo", &twin) == first {
		t.Error("two limits with the same conditions are one")
	}
}

// TestDeniedCallsAreBounded: kinds of calls beyond the bound are counted together, until old ones make room.
func TestDeniedCallsAreBounded(t *testing.T) {
	s := &Server{}
	now := time.Unix(1_000_000, 0)
	for i := range maxDenied + 10 {
		s.denied.count(deniedKey{caller: fmt.Sprint("ip:", i)}, now)
	}
	all, others := s.DeniedCalls()
	if len(all) != maxDenied || others != 10 {
		t.Errorf("%d kinds, %d others", len(all), others)
	}
	now = now.Add(keepDenied + time.Second)
	s.denied.count(deniedKey{caller: "ip:new"}, now)
	if all, others := s.DeniedCalls(); len(all) != 1 || others != 10 {
		t.Errorf("a day later: %d kinds, %d others", len(all), others)
	}
}

// TestFactsOfCallers: what a client tells of itself is bounded, and names no service.
func TestFactsOfCallers(t *testing.T) {
	tags := map[string]string{}
	for i := range 100 {
		tags[fmt.Sprintf("t%02d", i)] = strings.Repeat("x", 50)
	}
	cfg := &ClientConfig{Caller: "web", Facts: func() (string, string, map[string]string) {
		return "north", "v7", tags
	}}
	g := greeting{nonce: newNonce(), offers: append([]offered{{"echo", "v1"}}, cfg.facts()...)}
	got, err := readGreeting(string(g.append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	f := got.readFacts()
	if f.name != "web" || f.zone != "north" || f.version != "v7" || len(f.tags) != maxTags {
		t.Errorf("%s %s %s, %d tags", f.name, f.zone, f.version, len(f.tags))
	}
	if plain := (&greeting{offers: []offered{{"echo", "v1"}}}); plain.readFacts() != nil {
		t.Error("a client without facts has some")
	}
}

func BenchmarkPolicyOfCallee(b *testing.B) {
	items := make([]policy.Item, 5)
	for i := range items {
		items[i] = policy.Item{Pending: 1000 + i, Per: "instance"}
	}
	for name, service := range map[string]*policy.Service{
		"nothing":     {},
		"five limits": limits(items...),
		"audit":       {Access: &policy.Access{Deny: true}},
	} {
		b.Run(name, func(b *testing.B) {
			site := ruled(service)
			s := &Server{cfg: ServerConfig{Policy: site}, begun: time.Now()}
			c := &serverConn{s: s}
			kind := &method{name: "who"}
			r := &serverCall{conn: c, kind: kind, served: &served{name: "echo"}, counted: &counted{}}
			r.info.Method, r.info.from = "who", &PeerInfo{}
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.obeyPolicy(now); err != nil {
					b.Fatal(err)
				}
				r.releaseLimits()
			}
		})
	}
}
