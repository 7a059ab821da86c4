package sitekey

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Most is how many keys a ring holds. Each key costs every verification a try.
const Most = 16

// Ring is the keys of a process: the first signs, all verify.
type Ring struct {
	now atomic.Pointer[ringState]
	mu  sync.Mutex // for writers
}

type ringState struct {
	keys    []Key
	changed chan struct{}
}

// NewRing returns a ring of the keys. A ring may be empty.
func NewRing(keys ...Key) *Ring {
	r := &Ring{}
	r.now.Store(&ringState{keys: clean(keys), changed: make(chan struct{})})
	return r
}

// Keys are the current keys. The caller must not change them.
func (r *Ring) Keys() []Key { return r.now.Load().keys }

// Signer is the key that signs; false while there is none.
func (r *Ring) Signer() (Key, bool) {
	keys := r.Keys()
	if len(keys) == 0 {
		return Key{}, false
	}
	return keys[0], true
}

// Set replaces the keys. It leaves out zero and duplicate ones.
func (r *Ring) Set(keys []Key) {
	keys = clean(keys)
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.now.Load()
	if slices.Equal(old.keys, keys) {
		return
	}
	r.now.Store(&ringState{keys: keys, changed: make(chan struct{})})
	close(old.changed)
}

// Changed returns a channel that is closed when the keys change. A caller that takes the channel
// before it reads Keys misses no change.
func (r *Ring) Changed() <-chan struct{} { return r.now.Load().changed }

// clean is a copy without zero and duplicate keys, in order.
func clean(keys []Key) []Key {
	var out []Key
	for _, k := range keys {
		if !k.IsZero() && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return slices.Clip(out)
}
