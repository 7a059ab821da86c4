package transport

import (
	"context"
	"sync"
	"time"
)

// openTrips is the number of round trips that an opening gets beyond its limit, once a round trip has
// been measured. TLS and the first answer take three.
const openTrips = 6

// deadlineContext bounds the time until a connection stands and its peer has answered. The limit
// grows by openTrips times the duration of the TCP handshake, so that a slow network has time for the
// rest. A frozen process gains nothing by that, because its kernel connects at once.
type deadlineContext struct {
	context.Context
	done chan struct{}

	mu       sync.Mutex
	err      error
	timer    *time.Timer
	deadline time.Time
	stop     func() bool // stops watching the surrounding context
}

type deadlineKey struct{}

// WithOpenDeadline is context.WithTimeout with an end that extendOpen may move.
func WithOpenDeadline(around context.Context, limit time.Duration) (ctx context.Context, cancel func()) {
	p := &deadlineContext{Context: around, done: make(chan struct{}), deadline: time.Now().Add(limit)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(limit, func() { p.end(context.DeadlineExceeded) })
	p.stop = context.AfterFunc(around, func() { p.end(around.Err()) })
	return p, func() { p.end(context.Canceled) }
}

func (p *deadlineContext) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = why
	close(p.done)
	p.timer.Stop()
	p.stop()
}

// extendOpen gives an opening more time. trip is the duration of its TCP handshake, one round trip.
func extendOpen(ctx context.Context, trip time.Duration) {
	p, ok := ctx.Value(deadlineKey{}).(*deadlineContext)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.timer.Stop() {
		p.deadline = p.deadline.Add(openTrips * trip)
		p.timer.Reset(time.Until(p.deadline))
	}
}

func (p *deadlineContext) Done() <-chan struct{} { return p.done }

func (p *deadlineContext) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *deadlineContext) Value(key any) any {
	if key == (deadlineKey{}) {
		return p
	}
	return p.Context.Value(key)
}
