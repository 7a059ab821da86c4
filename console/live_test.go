package console

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// greeter is a service with the interface of skerry's internal service, because the generated code of that exists.
type greeter struct{ wire.Internal }

func (greeter) Ping(context.Context) error { return nil }

// open opens a node of the site at a port of the LAN, which offers a service unless its name is empty; name/v2 is its
// version v2.
func open(t *testing.T, port int, service string, opts ...skerry.Option) *skerry.Node {
	t.Helper()
	c := skerry.Config{Cluster: "test", Mode: config.ModeBroadcast, StateDir: t.TempDir(),
		LAN:  config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: port, Key: testsite.SiteKey},
		Stop: config.Stop{Grace: 300 * time.Millisecond, Drain: 5 * time.Second}}
	if service, version, _ := strings.Cut(service, "/"); service != "" {
		c.Service = config.Service{Name: service, Version: cmp.Or(version, "v1"),
			Thrift: "../internal/wire/skerry.thrift"}
	}
	n, err := skerry.Open(t.Context(), c, append(opts, skerry.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// TestLiveSite: a caller and a provider of a real site are seen with their calls, and the provider no longer when it
// has left.
func TestLiveSite(t *testing.T) {
	t.Parallel()
	port := testsite.Port(t)
	provider := open(t, port, "greeter")
	if err := provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(greeter{})); err != nil {
		t.Fatal(err)
	}
	caller := open(t, port, "caller")
	if err := caller.Handle(t.Context(), "caller", wire.NewInternalProcessor(greeter{})); err != nil {
		t.Fatal(err)
	}
	l := newLive(Config{Node: open(t, port, "", skerry.AsObserver(), skerry.WithAllServices()), Cluster: "test"})
	eventually(t, "both processes are seen", func() bool {
		l.look(t.Context())
		s := l.current.Load()
		return len(s.Processes) == 2 && s.Answered() == 2 && s.instances() == 2
	})
	greet := skerry.Stub(caller, "greeter", wire.NewInternalClient)
	for range 50 {
		if err := greet().Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var s *snapshot
	made := func(list []flow) (f flow) {
		if i := slices.IndexFunc(list, func(f flow) bool {
			return f.Caller == "caller" && f.Service == "greeter" && f.Calls >= 50
		}); i >= 0 {
			f = list[i]
		}
		return f
	}
	eventually(t, "the calls are told", func() bool {
		l.recentAt = time.Time{}
		l.look(t.Context())
		s = l.current.Load()
		return made(s.Flows).Method != "" // before, there are counts since the start alone
	})
	f, tried := made(s.Flows), made(s.Attempts)
	if f.Version != "v1" || f.Method != "ping" || f.Failed != 0 || f.Served || f.Latency.Calls() != 50 || f.Rate == 0 {
		t.Errorf("the flows are %+v", s.Flows)
	}
	if tried.Instance == "" || tried.Version != "v1" {
		t.Errorf("the attempts are %+v", s.Attempts)
	}
	own := of(s.Own, place{provider.Membership().Owner().String(), "greeter", "v1"})
	if own.Calls != 50 || own.P99() == 0 || len(s.Trends["greeter"]) != 30 {
		t.Errorf("the provider's own counts are %+v, the trend %v", own, s.Trends["greeter"])
	}
	if rows := s.services(); len(rows) != 2 || rows[1].Name != "greeter" || rows[1].P99 == 0 {
		t.Errorf("the services are %+v", rows)
	}
	conditionLive(t, l)
	callLive(t, l.cfg.Node)
	traceLive(t, s, caller)
	if len(s.Findings) > 0 || s.state().Kind != "ok" {
		t.Errorf("a site that is well has findings: %+v", s.Findings)
	}
	memberLive(t, l, provider)
	eventually(t, "the provider has left", func() bool {
		l.look(t.Context())
		return l.current.Load().instances() == 1
	})
}

// conditionLive: processes tell their condition while a page is open, and are not asked otherwise.
func conditionLive(t *testing.T, l *live) {
	t.Helper()
	for _, p := range l.current.Load().Processes {
		if p.Condition != nil {
			t.Errorf("%s was asked for its condition, and no page is open", p.Name)
		}
	}
	l.asked.Store(time.Now().UnixNano())
	l.look(t.Context())
	for _, p := range l.current.Load().Processes {
		c := p.Condition
		if c == nil || c.Clock.Abs() > c.Doubt+time.Second || c.Memory < 1<<20 || len(c.Sources) != 1 ||
			c.Sources[0].Name != "lan" || c.Sources[0].Lost != "" || c.Sources[0].Others == 0 {
			t.Errorf("the condition of %s is %+v", p.Name, c)
		}
	}
}

// memberLive lets a process leave: the registry's notice is enough for the log of members.
func memberLive(t *testing.T, l *live, provider *skerry.Node) {
	t.Helper()
	l.begun = time.Now().Add(-settleTime)
	l.compareMembers(l.cfg.Node.Explain(""))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.watchMembers(ctx) }()
	defer func() { cancel(); <-done }()
	process := provider.Membership().Owner().String()
	if err := provider.Close(); err != nil {
		t.Fatal(err)
	}
	var events []memberEvent
	eventually(t, "the log of members tells of the provider", func() bool {
		events = l.members.all()
		return len(events) > 0
	})
	if e := events[0]; len(events) != 1 || e.Kind != memberLeft || e.Process != process ||
		!slices.Equal(e.Runs, []string{"greeter/v1"}) {
		t.Errorf("the events are %+v", events)
	}
}

// callLive makes a test call, as its provider describes it.
func callLive(t *testing.T, n *skerry.Node) {
	t.Helper()
	s := &snapshot{Entries: n.Explain(""), calls: testCallsOf(n)}
	p, service, err := s.callable(t.Context(), "greeter")
	if err != nil || service == nil {
		t.Fatalf("the provider's description: %+v, %v", p, err)
	}
	m, err := service.Method("ping")
	if err != nil {
		t.Fatal(err)
	}
	args, err := m.Args([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := call(t.Context(), n, testCall{by: "li", service: "greeter", timeout: 5 * time.Second}, m, args)
	if err != nil || r.Instance == "" || r.Version != "v1" || r.Exception != "" || r.Took == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = call(t.Context(), n, testCall{by: "li", service: "greeter", version: "v9", timeout: time.Second}, m, args)
	if rpc.CodeOf(err) != rpc.VersionUnavailable || !strings.Contains(err.Error(), "v9") {
		t.Errorf("a version that does not run: %v", err)
	}
}

// eventually looks again until something holds, for a minute at most: a busy machine may need that long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestBetween: counts since the start of processes become the calls of a minute.
func TestBetween(t *testing.T) {
	at := time.Now()
	key := func(process string) flowKey { return flowKey{process, "portal", "auth", "v1", "10.0.0.1:7001"} }
	count := func(calls, failed int64) counted {
		return counted{calls, failed, map[string]int64{"timeout": failed}}
	}
	from := sums{at, map[flowKey]counted{key("a"): count(1000, 10), key("reused"): count(500, 0),
		key("ended"): count(9, 0)}}
	to := sums{at.Add(30 * time.Second), map[flowKey]counted{key("a"): count(1060, 13), key("reused"): count(20, 0),
		key("new"): count(10, 1)}}
	all := func(flowKey) bool { return true }
	got := between(from, to, all)
	if len(got) != 1 || got[0].Calls != 2*(60+20+10) || got[0].Failed != 2*(3+1) || got[0].Kinds["timeout"] != 8 {
		t.Errorf("%+v", got)
	}
	if got := between(to, to, all); len(got) > 0 {
		t.Errorf("in no time there are %+v", got)
	}
}

// traceLive makes a call that fails in a trace, and finds it on the page of traces.
func traceLive(t *testing.T, s *snapshot, caller *skerry.Node) {
	t.Helper()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	ctx := rpc.WithTrace(t.Context(), "00-"+trace+"-00f067aa0ba902b7-01", "")
	if _, err := caller.Client("greeter").Call(ctx, "nope", &rpc.Raw{}, &rpc.Raw{}); err == nil {
		t.Fatal("a method that is not there is called")
	}
	h := signedIn(t, still{s}, Config{})
	var body string
	eventually(t, "all processes tell their spans", func() bool {
		body = get(t, h, "/traces?kind=failed", in(english)).Body.String()
		return strings.Contains(body, "2 processes have answered")
	})
	for _, want := range []string{trace, "greeter.nope", "unknown_method"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of traces lacks %q", want)
		}
	}
}
