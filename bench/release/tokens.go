package release

import (
	"errors"
	"slices"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// tokens is skerry's way, by package rollout: a request reads the rules of the
// generation that its gateway had applied, callers and callees hold to it, and
// old versions are drained by rounds of reports.
type tokens struct {
	plain
	kind   rollout.Strategy
	agents map[*process]*participant.Agent
	gates  map[string]*gate // of services with a new version that does not run yet
	operator
}

// agent of a process; it joins with the rules of the day.
func (s *tokens) agent(p *process) *participant.Agent {
	a := s.agents[p]
	if a == nil {
		a = must(participant.New(participant.Config{Process: p.name}))
		check(a.Learn(s.entries...))
		a.Origin(p.service, p.service+"/"+p.version)
		a.MayCall(s.callees(p)...)
		s.agents[p] = a
	}
	return a
}

// callees are the services that a process may call.
func (s *tokens) callees(p *process) (names []string) {
	g := s.world.graph
	out := g.Entries // of a gateway
	if i := slices.Index(g.Names, p.service); i >= 0 {
		out = g.Out[i]
	}
	for _, i := range out {
		names = append(names, g.Names[i])
	}
	return names
}

// trace is what a span holds of its request.
func trace(p *span) *participant.Trace { return p.memo.(*participant.Trace) }

func (s *tokens) begin(root *span, run func()) {
	entry := s.world.graph.Names[root.request.entry]
	root.memo = s.agent(root.process).Begin("gateway."+entry, rollout.SeedOf(root.request.id), "")
	run()
}

func (s *tokens) route(p *span, service string, _ uint64, to func(string, error)) {
	version, by, _, err := s.agent(p.process).Log().Route(service, trace(p).Token())
	if err == nil && version == fresh && by != rollout.Concurrent {
		s.gates[service].pass(func() { to(version, nil) })
		return
	}
	to(version, err)
}

// sending holds the caller's span until the callee has counted its own: the
// caller may have given the call up by then.
func (s *tokens) sending(p *span) func() { return trace(p).HandOff() }

// receive is the callee's check; rules that it lacks come from the caller.
func (s *tokens) receive(q *span, then func(error)) {
	token, agent := trace(q.parent).Token(), s.agent(q.process)
	err := agent.Log().Admit(q.process.service, q.process.version, token)
	if errors.Is(err, rollout.ErrStale) {
		s.After(2*message, func() {
			check(agent.Learn(s.agent(q.parent.process).Since(agent.Log().Last())...))
			s.receive(q, then)
		})
		return
	}
	if err == nil {
		t := &participant.Trace{}
		agent.Origin(q.process.service, q.process.service+"/"+q.process.version).Join(t, token, "", "")
		q.memo = t
	}
	then(err)
}

func (s *tokens) ended(p *span) { trace(p).End() }

func (s *tokens) token(p *span) (rollout.Token, rollout.Generation) {
	if p.memo == nil { // refused
		p = p.parent
	}
	return trace(p).Token(), s.agent(p.process).Log().Last()
}

// started is the time that a new instance needs after its predecessor's end.
const started = 20 * sim.Unit

func check(err error) {
	if err != nil {
		panic(err) // the simulation is wrong
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}
