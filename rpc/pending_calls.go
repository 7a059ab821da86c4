package rpc

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// A call on a shared connection waits in a pendingCall. Its sequence number is
// generation<<indexBits | index. A late reply to an earlier user of the place has another
// generation and finds no call.
const (
	indexBits   = 14
	indexMask   = 1<<indexBits - 1
	generations = 1<<(31-indexBits) - 1
	firstPage   = 4 // places on the first page; each further page doubles their number
)

// pendingCall is the place of one waiting call. The goroutine that changes state from the call's
// sequence number to 0 owns the outcome: the reader with a reply, the sweeper with a time-out, the
// connection with its end, or the caller that gives up.
type pendingCall struct {
	state    atomic.Int32
	deadline atomic.Int64  // a time.Duration on the client's clock; 0 = none
	patience atomic.Int64  // how long the connection may be silent; 0 = no limit of the call's own
	done     chan struct{} // holds one signal

	// Written before the signal, read after it.
	frame string
	err   error

	index      int32
	generation int32 // guarded by pendingCalls.mu
}

// pendingCalls is the table of a connection. Finding the call of a reply takes no lock.
type pendingCalls struct {
	pages [indexBits - 1]atomic.Pointer[[]pendingCall]
	size  atomic.Int32 // places that exist

	waiting atomic.Int32 // calls without an outcome
	most    atomic.Int32 // largest number of them at once, since the last sweep

	mu     sync.Mutex
	unused []*pendingCall
}

// add returns a place and the sequence number for a call, or nil when all are taken.
func (t *pendingCalls) add(deadline time.Duration) (s *pendingCall, seq int32) {
	t.mu.Lock()
	if n := len(t.unused); n > 0 {
		s = t.unused[n-1]
		t.unused = t.unused[:n-1]
	} else if s = t.extend(); s == nil {
		t.mu.Unlock()
		return nil, 0
	}
	s.generation = s.generation%generations + 1
	seq = s.generation<<indexBits | s.index
	t.mu.Unlock()
	s.frame, s.err = "", nil
	s.deadline.Store(int64(deadline))
	s.patience.Store(0)
	if n := t.waiting.Add(1); n > t.most.Load() {
		t.most.Store(n)
	}
	s.state.Store(seq)
	return s, seq
}

// extend makes one more place. The caller holds mu.
func (t *pendingCalls) extend() *pendingCall {
	n := t.size.Load()
	if n > indexMask {
		return nil
	}
	if page, at := place(n); at == 0 {
		slots := make([]pendingCall, max(n, firstPage))
		t.pages[page].Store(&slots)
	}
	s := t.slot(n)
	s.index, s.done = n, make(chan struct{}, 1)
	t.size.Store(n + 1)
	return s
}

// place returns the page of an index, and its position there.
func place(index int32) (page int, at int32) {
	if page = bits.Len32(uint32(index / firstPage)); page > 0 {
		index -= firstPage << (page - 1)
	}
	return page, index
}

func (t *pendingCalls) slot(index int32) *pendingCall {
	page, at := place(index)
	return &(*t.pages[page].Load())[at]
}

// free takes a place back after its caller has the outcome.
func (t *pendingCalls) free(s *pendingCall) {
	t.mu.Lock()
	t.unused = append(t.unused, s)
	t.mu.Unlock()
}

// claim makes the caller the owner of the call's outcome, if there is none yet.
func (t *pendingCalls) claim(s *pendingCall, seq int32) bool {
	if !s.state.CompareAndSwap(seq, 0) {
		return false
	}
	t.waiting.Add(-1)
	return true
}

// isWaiting reports whether the call with this sequence number has no outcome yet.
func (t *pendingCalls) isWaiting(seq int32) bool {
	s := t.at(seq)
	return s != nil && s.state.Load() == seq
}

// at finds the pending call of a sequence number.
func (t *pendingCalls) at(seq int32) *pendingCall {
	index := seq & indexMask
	if seq <= 0 || index >= t.size.Load() {
		return nil
	}
	return t.slot(index)
}

// resolve gives the call with this sequence number its outcome. It reports false when no caller
// waits for it.
func (t *pendingCalls) resolve(seq int32, frame string, err error) bool {
	s := t.at(seq)
	if s == nil || !t.claim(s, seq) {
		return false
	}
	s.frame, s.err = frame, err
	s.done <- struct{}{}
	return true
}

// each calls f with every call that waits.
func (t *pendingCalls) each(f func(seq int32, deadline, patience time.Duration)) {
	for i := range t.size.Load() {
		s := t.slot(i)
		if seq := s.state.Load(); seq != 0 {
			f(seq, time.Duration(s.deadline.Load()), time.Duration(s.patience.Load()))
		}
	}
}
