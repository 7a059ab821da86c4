package rpc

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
)

// maxCells is the largest number of names in one table. For other names each call asks the recorder,
// which has a larger bound of its own.
const maxCells = 1024

// tally is where the calls of one name are counted: for statistics, and for trying a policy on them.
type tally struct {
	cell *health.Cell // nil: nothing is counted
	kind *recent.Kind // likewise
}

// cells finds the statistics of a call by a name, without a lock.
type cells struct {
	known atomic.Pointer[map[string]tally]
	mu    sync.Mutex // held to add
}

// get returns the tally of name. For a new name it asks the recorders of the client for that of key.
func (t *cells) get(cfg *ClientConfig, name string, key func() (health.Key, recent.Key)) tally {
	if cfg.Health == nil && cfg.Recent == nil {
		return tally{}
	}
	if known := t.known.Load(); known != nil {
		if c, ok := (*known)[name]; ok {
			return c
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	counted, tried := key()
	c := tally{cfg.Health.Cell(counted), cfg.Recent.Kind(tried)}
	known := map[string]tally{}
	if old := t.known.Load(); old != nil {
		if len(*old) >= maxCells {
			return c
		}
		known = maps.Clone(*old)
	}
	known[name] = c
	t.known.Store(&known)
	return c
}
