package membership

import (
	"slices"
	"sync"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
)

// watchedMost is how many services a process looks for because others ask
// whether it sees them; a site has dozens.
const watchedMost = 256

// watched are the services that are looked for because a release asks whether
// this process sees them. Looking is not calling: it adds nothing to the call
// graph, and no more than watchedMost lists to what is kept.
type watched struct {
	mu    sync.Mutex
	begun map[string]bool
}

// begin looks for a service from now on. It reports whether that is done: not
// for what can't be a name, nor beyond the bound.
func (w *watched) begin(lists *discovery.Discovery, service string) bool {
	if registry.CheckName("service", service) != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun[service] && !slices.Contains(lists.Services(), service) {
		if len(w.begun) >= watchedMost {
			return false
		}
		if w.begun == nil {
			w.begun = map[string]bool{}
		}
		w.begun[service] = true
	}
	lists.Resolve(service)
	return true
}
