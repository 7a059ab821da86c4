package rpc

import (
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Retries run at most this many at a time, for each service: a share of the
// calls in flight, and a few when there are hardly any. They are
// what keeps a failing service from being called twice as often.
const (
	retryPercent = 20
	retryMin     = 3
)

// retryBudget bounds the retries of one service. It is safe for concurrent use;
// the zero value is ready.
type retryBudget struct {
	calls   atomic.Int64 // in flight
	retries atomic.Int64 // of them, those in a second or later attempt
}

func (b *retryBudget) begin() { b.calls.Add(1) }
func (b *retryBudget) end()   { b.calls.Add(-1) }

// acquire reports whether one of the calls in flight may be tried again. When it
// may, the caller gives the permission back by give, once, after its last
// attempt or before it asks for another.
func (b *retryBudget) acquire() bool {
	if b.retries.Add(1) > max(retryMin, b.calls.Load()*retryPercent/100) {
		b.retries.Add(-1)
		return false
	}
	return true
}

func (b *retryBudget) release() { b.retries.Add(-1) }

// The pause before a retry doubles from the first to the last.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// retryPause is how long to wait before a retry, 1 for the first, so that
// callers that failed together do not come back together. A call that went
// nowhere may go to another node without any pause.
func retryPause(retry int) time.Duration {
	pause := firstPause
	for i := 1; i < retry && pause < lastPause; i++ {
		pause *= 2
	}
	return run.Jitter(min(pause, lastPause), 0.5)
}
