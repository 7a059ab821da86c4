package participant

import (
	"maps"
	"slices"
	"sync"
)

// graphPart is one process's part of the rollout.Graph: what it serves, and what
// its work may call.
type graphPart struct {
	mu            sync.Mutex
	serves, calls map[string]bool
}

func (g *graphPart) serve(service string) { g.add(&g.serves, service) }

func (g *graphPart) call(services ...string) { g.add(&g.calls, services...) }

func (g *graphPart) add(to *map[string]bool, names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *to == nil {
		*to = map[string]bool{}
	}
	for _, n := range names {
		(*to)[n] = true
	}
}

// read returns both sorted. calls is never nil.
func (g *graphPart) read() (serves, calls []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	calls = append([]string{}, slices.Sorted(maps.Keys(g.calls))...)
	return slices.Sorted(maps.Keys(g.serves)), calls
}

// MayCall declares that work of this process may call services from now on.
// [rollout.Anywhere] stands for unknown services. The declaration must precede
// the first call. Package rpc makes it for every client.
func (a *Agent) MayCall(services ...string) { a.graph.call(services...) }

// MayCall is [Agent.MayCall] of the trace's process.
func (t *Trace) MayCall(services ...string) { t.origin.agent.MayCall(services...) }
