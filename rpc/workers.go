package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// workerIdle is how long a worker waits for work before it ends.
const workerIdle = 10 * time.Second

// workers run the handlers that readers don't run inline. While handlers are quick, few goroutines
// run a burst, because a worker is woken only after the previously woken one has begun. Handlers
// that block bring in one worker after another, so no call waits behind a slow one. The limits of
// calls bound their number.
type workers struct {
	group  *run.Group
	inline inlineRuns
	conns  atomic.Uint32 // connections that were made, to number them

	mu     sync.Mutex
	queue  []*serverCall // from head on
	head   int
	parked []chan struct{}
	waking bool // a worker has been woken and has not begun
}

func newWorkers(ctx context.Context) *workers {
	w := &workers{group: run.NewGroup(ctx)}
	w.inline.wake = make(chan struct{}, 1)
	w.group.Go(w.inline.watchdog)
	return w
}

// submit gives a call to a worker. It reports false when the group has been stopped.
func (w *workers) submit(r *serverCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head > 1024 && w.head > len(w.queue)/2 {
		n := copy(w.queue, w.queue[w.head:])
		clear(w.queue[n:])
		w.queue, w.head = w.queue[:n], 0
	}
	if w.head < len(w.queue) {
		r.began = queued
	}
	w.queue = append(w.queue, r)
	if w.wakeOne() {
		return true
	}
	w.queue = w.queue[:len(w.queue)-1]
	return false
}

// wakeOne makes sure that a worker takes the queued call. The caller holds mu.
func (w *workers) wakeOne() bool {
	if w.waking {
		return true
	}
	if n := len(w.parked); n > 0 {
		w.parked[n-1] <- struct{}{} // never blocks: it holds one element
		w.parked = w.parked[:n-1]
		w.waking = true
	} else {
		w.waking = w.group.Go(w.work)
	}
	return w.waking
}

// work is the loop of a worker.
func (w *workers) work(ctx context.Context) error {
	bell := make(chan struct{}, 1)
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		w.mu.Lock()
		w.waking = false
		for r := w.take(); r != nil; r = w.take() {
			w.mu.Unlock()
			r.run()
			w.mu.Lock()
		}
		w.parked = append(w.parked, bell)
		w.mu.Unlock()
		idle.Reset(workerIdle)
		select {
		case <-bell:
			continue
		case <-idle.C:
		case <-ctx.Done():
		}
		if w.unpark(bell) {
			return nil
		}
		<-bell // it was woken in the same moment
	}
}

// take returns the next call, or nil, and wakes another worker for the one after it. The caller
// holds mu.
func (w *workers) take() *serverCall {
	if w.head == len(w.queue) {
		w.queue, w.head = w.queue[:0], 0
		if cap(w.queue) > 4096 {
			w.queue = nil
		}
		return nil
	}
	r := w.queue[w.head]
	w.queue[w.head] = nil
	w.head++
	if w.head < len(w.queue) {
		w.wakeOne()
	}
	return r
}

// unpark removes a worker from the list. It reports false when the worker was woken already.
func (w *workers) unpark(bell chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, b := range w.parked {
		if b == bell {
			w.parked = append(w.parked[:i], w.parked[i+1:]...)
			return true
		}
	}
	return false
}
