package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/participant"
	"github.com/skerry/skerry/rollout/rollouttest"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// site is a set of processes on loopback whose services have versions. Each
// has a rule log of its own; everything that is executed is recorded.
type site struct {
	t       *testing.T
	program map[string]func(context.Context, *process) error // what the handler of a service does
	strict  bool
	rules   *rollout.Log   // the committed ones
	prepare func(*process) // before a process is listed; nil: nothing

	bringing func(*process) // when entries are brought to it; nil: nothing

	mu      sync.Mutex
	listed  map[string][]*Endpoint
	blind   map[string][]*Endpoint // by service/version: others, of which the caller does not check what it meets
	history rollouttest.History
	at      map[string]*process // by address
}

func newSite(t *testing.T) *site {
	return &site{t: t, listed: map[string][]*Endpoint{}, blind: map[string][]*Endpoint{}, at: map[string]*process{}, rules: &rollout.Log{}, program: map[string]func(context.Context, *process) error{}}
}

// Resolve makes the site its processes' Resolver.
func (s *site) Resolve(service string) Picker { return list{s, service} }

type list struct {
	site    *site
	service string
}

func (l list) Pick(ctx context.Context, call *Call) (*Endpoint, error) {
	for {
		l.site.mu.Lock()
		now := static(slices.Clone(l.site.listed[l.service]))
		blind := l.site.blind[l.service+"/"+call.Version]
		l.site.mu.Unlock()
		for _, e := range blind {
			if !call.Tried(e) {
				return e, nil
			}
		}
		e, err := now.Pick(ctx, call)
		if err == nil || !call.Wait {
			return e, err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

func (l list) Report(*Endpoint, health.Outcome, time.Duration) {}

func (s *site) list(e *Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed[e.Service] = append(s.listed[e.Service], e)
}

func (s *site) unlist(drop func(*Endpoint) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for service, es := range s.listed {
		s.listed[service] = slices.DeleteFunc(slices.Clone(es), drop)
	}
}

// process is one process of a site: a service's version, or a mere caller.
type process struct {
	wire.Internal // what a process does not need here
	site          *site
	name          string
	service       string
	version       string
	agent         *participant.Agent
	client        *Client
	server        *Server
	ep            *Endpoint
	stop          func()
	executed      atomic.Int64
	brought       atomic.Int64 // times that rules were brought
	stubs         sync.Map

	mu sync.Mutex // so that spans are recorded in the order of what was applied
}

// start starts a process that has applied all rules, and lists what it serves.
func (s *site) start(service, version string) *process {
	s.t.Helper()
	p := s.caller(fmt.Sprintf("%s-%s-%d", service, version, time.Now().UnixNano()))
	p.service, p.version = service, version
	srv, err := NewServer(ServerConfig{Rollout: p.agent, RefuseOrphans: s.strict, Logger: slog.New(slog.DiscardHandler),
		Entry: func(service, method string) bool { return service == "portal" }})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err1 := srv.Handle(service, version, echo.NewEchoProcessor(&hop{p: p}))
	_, err2 := srv.HandleInternal(internalService, "", wire.NewInternalProcessor(p), "bring")
	l, err3 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2, err3); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	p.server, p.ep = srv, &Endpoint{ID: p.name, Service: service, Version: version, Addr: l.Addr().String()}
	p.stop = sync.OnceFunc(func() { cancel(); <-served })
	s.mu.Lock()
	s.at[p.ep.Addr] = p
	s.mu.Unlock()
	s.t.Cleanup(p.stop)
	if s.prepare != nil {
		s.prepare(p)
	}
	s.list(p.ep)
	return p
}

// caller starts a process that serves nothing.
func (s *site) caller(name string) *process {
	s.t.Helper()
	p := &process{site: s, name: name}
	p.agent, _ = participant.New(participant.Config{Process: name})
	if err := p.agent.Learn(s.entries()...); err != nil {
		s.t.Fatal(err)
	}
	p.client = client(s.t, ClientConfig{Resolver: s, Rollout: p.agent, Rules: p, RefuseOrphans: s.strict, Caller: name, ConnectTimeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	return p
}

func (s *site) entries() []rollout.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.Entries)
}

// commit adds to the rules; told processes apply them at once.
func (s *site) commit(rules map[string]rollout.Rule, retire []rollout.Retirement, told ...*process) {
	s.t.Helper()
	e := s.rules.Next("r", rules, retire...)
	next, err := s.rules.Apply(e)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.rules, s.history.Entries = next, append(s.history.Entries, e)
	s.mu.Unlock()
	s.tell(told...)
}

func (s *site) tell(told ...*process) {
	s.t.Helper()
	for _, p := range told {
		if err := p.agent.Learn(s.entries()...); err != nil {
			s.t.Error(err)
		}
	}
}

// Fetch is RuleExchange's: the process that listens there tells what it knows.
func (p *process) Fetch(_ context.Context, from *Endpoint, _ rollout.Generation) error {
	p.site.mu.Lock()
	there := p.site.at[from.Addr]
	p.site.mu.Unlock()
	if there == nil {
		return fmt.Errorf("nothing listens at %s", from.Addr)
	}
	return p.agent.Learn(there.agent.Since(p.agent.Log().Last())...)
}

// Records is RuleExchange's.
func (p *process) Records(after rollout.Generation) (records [][]byte, err error) {
	for _, e := range p.agent.Since(after) {
		records = append(records, e.Record().Marshal())
	}
	return records, nil
}

// Bring is wire.Internal's.
func (p *process) Bring(_ context.Context, records [][]byte) (string, error) {
	p.brought.Add(1)
	if p.site.bringing != nil {
		p.site.bringing(p)
	}
	var entries []rollout.Entry
	for _, record := range records {
		r, err := rollout.ParseRecord(record)
		e, opened := r.Open()
		if err := errors.Join(err, opened); err != nil {
			return "", err
		}
		entries = append(entries, e)
	}
	if err := p.agent.Learn(entries...); err != nil {
		return "", &wire.RulesRefused{Code: map[bool]string{false: "gap", true: "fork"}[errors.Is(err, rollout.ErrFork)], Message: err.Error()}
	}
	return p.agent.Log().Last().String(), nil
}

// call calls a service from a handler or a root.
func (p *process) call(ctx context.Context, service string) error {
	_, err := p.stub(service).Who(ctx)
	return err
}

func (p *process) stub(service string) *echo.EchoClient {
	if tc, ok := p.stubs.Load(service); ok {
		return tc.(*stubOf).make()
	}
	tc, err := p.client.Service(service, ServiceOptions{Timeout: 20 * time.Second, Retries: new(2)})
	if err != nil {
		p.site.t.Fatal(err)
	}
	s := &stubOf{func() *echo.EchoClient { return echo.NewEchoClient(tc) }}
	p.stubs.Store(service, s)
	return s.make()
}

type stubOf struct{ make func() *echo.EchoClient }

// begin starts a trace and records its root.
func (p *process) begin(ctx context.Context, seed uint64) (_ context.Context, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tr := p.agent.Begin(p.name, seed, "")
	return tr.Context(ctx), tr.End
}

// hop is the handler of every process.
type hop struct {
	handler
	p *process
}

func (h *hop) Who(ctx context.Context) (string, error)  { return h.p.name, h.p.execute(ctx) }
func (h *hop) Note(ctx context.Context, _ string) error { return h.p.execute(ctx) }

// execute records a span and does what the site's program says.
func (p *process) execute(ctx context.Context) error {
	p.executed.Add(1)
	info, tr := CallInfoFrom(ctx), participant.TraceFrom(ctx)
	if tr == nil {
		return errors.New("the handler has no trace")
	}
	token := tr.Token()
	p.mu.Lock()
	span := rollouttest.Span{Trace: fmt.Sprintf("%x", token.Seed), ID: p.name, Parent: info.Caller, Entry: info.Caller == "", Service: p.service,
		Version: p.version, Process: p.name, Token: token, Applied: p.agent.Log().Last(), Begin: time.Now()}
	p.mu.Unlock()
	p.site.mu.Lock()
	p.site.history.Spans = append(p.site.history.Spans, span)
	p.site.mu.Unlock()
	if do := p.site.program[p.service]; do != nil {
		return do(ctx, p)
	}
	return nil
}

// check judges all that was executed.
func (s *site) check() {
	s.t.Helper()
	for _, f := range s.findings() {
		s.t.Error(f)
	}
}

func (s *site) findings() []rollouttest.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history.Check()
}

// versions are those that executed spans of a service.
func (s *site) versions(service string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, span := range s.history.Spans {
		if span.Service == service {
			out[span.Version]++
		}
	}
	return out
}
