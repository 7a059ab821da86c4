package rpc

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/health"
)

// maxCells is the largest number of names in one table. For other names each call asks the recorder,
// which has a larger bound of its own.
const maxCells = 1024

// cells finds the statistics of a call by a name, without a lock.
type cells struct {
	known atomic.Pointer[map[string]*health.Cell]
	mu    sync.Mutex // held to add
}

// get returns the cell of name. For a new name it asks the recorder for the cell of key.
func (t *cells) get(r *health.Recorder, name string, key func() health.Key) *health.Cell {
	if r == nil {
		return nil
	}
	if known := t.known.Load(); known != nil {
		if c := (*known)[name]; c != nil {
			return c
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known := map[string]*health.Cell{}
	if old := t.known.Load(); old != nil {
		if len(*old) >= maxCells {
			return r.Cell(key())
		}
		known = maps.Clone(*old)
	}
	c := r.Cell(key())
	known[name] = c
	t.known.Store(&known)
	return c
}
