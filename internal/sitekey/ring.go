package sitekey

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Most is how many keys a ring holds: each costs every verification a try.
const Most = 16

// Ring is the keys of a process: the first signs, all verify.
type Ring struct {
	now atomic.Pointer[ringState]
	mu  sync.Mutex // held by writers
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

// Keys are the keys of this moment, not to be changed by the caller.
func (r *Ring) Keys() []Key { return r.now.Load().keys }

// Signer is the key that signs; false while there is none.
func (r *Ring) Signer() (Key, bool) {
	keys := r.Keys()
	if len(keys) == 0 {
		return Key{}, false
	}
	return keys[0], true
}

// Set replaces the keys. Zero and double ones are left out.
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

// Changed is closed when the keys are other ones than now. A caller that takes
// the channel before it reads Keys misses no change.
func (r *Ring) Changed() <-chan struct{} { return r.now.Load().changed }

// clean is a copy without zero and double keys, in order.
func clean(keys []Key) []Key {
	var out []Key
	for _, k := range keys {
		if !k.IsZero() && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return slices.Clip(out)
}
