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
	return slices.Sorted(maps.Keys(o.serves)), slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(o.calls))))
}
