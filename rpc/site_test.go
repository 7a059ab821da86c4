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
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// site is a set of processes on loopback, with versioned services. Each process has its own rule
// log. All executions are recorded.
type site struct {
	t       *testing.T
	program map[string]func(context.Context, *process) error // the handler of each service
	strict  bool
	wait    time.Duration  // ServiceOptions.Wait of all
	rules   *rollout.Log   // the committed ones
	prepare func(*process) // before a process is listed; nil: nothing

	bringing func(*process) // called when entries are pushed to a process; nil: nothing

	mu      sync.Mutex
	listed  map[string][]*Endpoint
	blind   map[string][]*Endpoint // by service/version: others, which the caller does not verify
	history rollouttest.History
	at      map[string]*process // by address
}

func newSite(t *testing.T) *site {
	return &site{
		t:       t,
		listed:  map[string][]*Endpoint{},
		blind:   map[string][]*Endpoint{},
		at:      map[string]*process{},
		rules:   &rollout.Log{},
		program: map[string]func(context.Context, *process) error{},
	}
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
	site     *site
	name     string
	service  string
	version  string
	agent    *participant.Agent
	client   *Client
	server   *Server
	ep       *Endpoint
	stop     func()
	executed atomic.Int64
	brought  atomic.Int64 // number of times that rules were pushed here
	stubs    sync.Map

	mu sync.Mutex // records spans in the order of the applied entries
}

// start starts a process that has applied all rules, and lists its service.
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
	_, err2 := srv.HandleInternal(rulesService, "", echo.NewEchoProcessor(&ruleTaker{p: p}), "echo")
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
	p.client = client(
		s.t,
		ClientConfig{
			Resolver:       s,
			Rollout:        p.agent,
			Rules:          p,
			RefuseOrphans:  s.strict,
			Caller:         name,
			ConnectTimeout: 10 * time.Second,
			Logger:         slog.New(slog.DiscardHandler),
		},
	)
	return p
}

func (s *site) entries() []rollout.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.Entries)
}

// commit adds to the rules. The processes that are given apply them at once.
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

// Pull is RuleExchange's: it reads the log of the process at the endpoint.
func (p *process) Pull(_ context.Context, from *Endpoint, _ rollout.Generation) error {
	p.site.mu.Lock()
	there := p.site.at[from.Addr]
	p.site.mu.Unlock()
	if there == nil {
		return fmt.Errorf("nothing listens at %s", from.Addr)
	}
	return p.agent.Learn(there.agent.Since(p.agent.Log().Last())...)
}

// rulesService takes the entries that other processes push.
const rulesService = internalPrefix + "rules"

// Push is RuleExchange's: each entry is a part of one message.
func (p *process) Push(ctx context.Context, to *Endpoint, after rollout.Generation) error {
	var m echo.Message
	for _, e := range p.agent.Since(after) {
		m.Parts = append(m.Parts, &echo.Message{Text: string(e.Record().Marshal())})
	}
	_, err := echo.NewEchoClient(p.client.At(rulesService, to)).Echo(ctx, &m)
	if r, ok := errors.AsType[*echo.Refusal](err); ok {
		return fmt.Errorf("%s: %w", to.Addr, map[string]error{"gap": rollout.ErrGap, "fork": rollout.ErrFork}[r.Why])
	}
	return err
}

// ruleTaker serves rulesService of a process.
type ruleTaker struct {
	handler
	p *process
}

// Echo applies the entries of a message.
func (r *ruleTaker) Echo(_ context.Context, m *echo.Message) (*echo.Message, error) {
	r.p.brought.Add(1)
	if r.p.site.bringing != nil {
		r.p.site.bringing(r.p)
	}
	var entries []rollout.Entry
	for _, part := range m.Parts {
		record, err := rollout.ParseRecord([]byte(part.Text))
		e, opened := record.Open()
		if err := errors.Join(err, opened); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if err := r.p.agent.Learn(entries...); err != nil {
		return nil, &echo.Refusal{Why: map[bool]string{false: "gap", true: "fork"}[errors.Is(err, rollout.ErrFork)]}
	}
	return &echo.Message{}, nil
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
	tc, err := p.client.Service(service, ServiceOptions{Timeout: 20 * time.Second, Wait: p.site.wait, Retries: new(2)})
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

// execute records a span and runs the site's program for the service.
func (p *process) execute(ctx context.Context) error {
	p.executed.Add(1)
	info, tr := CallInfoFrom(ctx), participant.TraceFrom(ctx)
	if tr == nil {
		return errors.New("the handler has no trace")
	}
	token := tr.Token()
	p.mu.Lock()
	span := rollouttest.Span{
		Trace:   fmt.Sprintf("%x", token.Seed),
		ID:      p.name,
		Parent:  info.Caller,
		Entry:   info.Caller == "",
		Service: p.service,
		Version: p.version,
		Process: p.name,
		Token:   token,
		Applied: p.agent.Log().Last(),
		Begin:   time.Now(),
	}
	p.mu.Unlock()
	p.site.mu.Lock()
	p.site.history.Spans = append(p.site.history.Spans, span)
	p.site.mu.Unlock()
	if do := p.site.program[p.service]; do != nil {
		return do(ctx, p)
	}
	return nil
}

// check judges all recorded executions.
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

// versions returns the versions that executed spans of a service.
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
