package participant

import (
	"maps"
	"slices"
	"sync"
)

// outs is one process's part of the graph.
type outs struct {
	mu            sync.Mutex
	serves, calls map[string]bool
}

func (o *outs) serve(service string) { o.add(&o.serves, service) }

func (o *outs) call(services ...string) { o.add(&o.calls, services...) }

func (o *outs) add(to *map[string]bool, names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if *to == nil {
		*to = map[string]bool{}
	}
	for _, n := range names {
		(*to)[n] = true
	}
}

// read returns both sorted. calls is never nil.
func (o *outs) read() (serves, calls []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls = append([]string{}, slices.Sorted(maps.Keys(o.calls))...)
	return slices.Sorted(maps.Keys(o.serves)), calls
}

// MayCall declares that work of this process may call services from now on.
// [rollout.Anywhere] stands for unknown services. The declaration must precede
// the first call. Package rpc makes it for every client.
func (a *Agent) MayCall(services ...string) { a.graph.call(services...) }

// MayCall is [Agent.MayCall] of the trace's process.
func (t *Trace) MayCall(services ...string) { t.origin.agent.MayCall(services...) }
