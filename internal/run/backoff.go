package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the waiting time between retries of one operation: it doubles from Min to Max and
// never ends. The zero value waits 100 ms to 5 s. It is not safe for concurrent use; each retry
// loop has its own.
type Backoff struct {
	Min time.Duration // first ceiling; 0 means 100 ms
	Max time.Duration // last ceiling; 0 means 5 s

	tries int
}

// Next returns how long to wait before the next try: a random time between
// half the current ceiling and the ceiling.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 100 * time.Millisecond
	}
	if hi <= 0 {
		hi = 5 * time.Second
	}
	ceiling := lo
	for i := 0; i < b.tries && ceiling < hi; i++ {
		ceiling *= 2
	}
	ceiling = min(ceiling, max(hi, lo))
	b.tries++
	return Jitter(ceiling, 0.5)
}

// Reset starts again at Min; call it after a success.
func (b *Backoff) Reset() { b.tries = 0 }

// Wait sleeps for Next or until ctx ends, and returns ctx.Err().
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Jitter returns a random duration between d*(1-share) and d.
func Jitter(d time.Duration, share float64) time.Duration {
	return d - time.Duration(rand.Float64()*share*float64(d))
}

// Sleep waits for d or until ctx ends, and returns ctx.Err().
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
