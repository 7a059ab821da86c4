package rpc

import (
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Retries at a time are bounded for each service: a share of the calls in flight, and a few when
// there are hardly any. The bound keeps a failing service from getting twice the calls.
const (
	retryPercent = 20
	retryMin     = 3
)

// retryBudget bounds the retries of one service. It is safe for concurrent use;
// the zero value is ready.
type retryBudget struct {
	calls   atomic.Int64 // in flight
	retries atomic.Int64 // calls in flight that are in their second attempt or a later one
}

func (b *retryBudget) begin() { b.calls.Add(1) }
func (b *retryBudget) end()   { b.calls.Add(-1) }

// acquire reports whether one of the calls in flight may be tried again. The caller then calls
// release once, after its last attempt or before the next acquire.
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

// retryPause returns the pause before a retry, 1 for the first. It is partly random, so that callers
// that failed together do not come back together. A call that was never sent may go to another
// instance without a pause.
func retryPause(retry int) time.Duration {
	pause := firstPause
	for i := 1; i < retry && pause < lastPause; i++ {
		pause *= 2
	}
	return run.Jitter(min(pause, lastPause), 0.5)
}
