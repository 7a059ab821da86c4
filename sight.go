package skerry

import (
	"slices"
	"sync"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
)

// sightMost is how many services a process looks for because others ask
// whether it sees them; a site has dozens.
const sightMost = 256

// sight are the services that are looked for because a release asks whether
// this process sees them. Looking is not calling: it adds nothing to the call
// graph, and no more than sightMost lists to what is kept.
type sight struct {
	mu    sync.Mutex
	begun map[string]bool
}

// begin looks for a service from now on. It reports whether that is done: not
// for what can't be a name, nor beyond the bound.
func (s *sight) begin(lists *discovery.Discovery, service string) bool {
	if registry.CheckName("service", service) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun[service] && !slices.Contains(lists.Services(), service) {
		if len(s.begun) >= sightMost {
			return false
		}
		if s.begun == nil {
			s.begun = map[string]bool{}
		}
		s.begun[service] = true
	}
	lists.Resolve(service)
	return true
}
