package rpc

import (
	"context"
	"sync"
	"time"
)

// slowTrips is how many round trips an opening may take once the line has
// shown how long one takes: TLS and the first answer take three.
const slowTrips = 6

// opening bounds the time until a connection stands: by a limit, and, where TCP
// alone took a good part of that, by what the rest takes on such a line. A frozen
// process does not gain by that: its kernel connects at once.
type opening struct {
	context.Context
	done chan struct{}

	mu    sync.Mutex
	err   error
	timer *time.Timer
	ends  time.Time
	stop  func() bool // ends the watch over the context around it
}

type openingKey struct{}

// forOpening is context.WithTimeout, with an end that stretch may move.
func forOpening(around context.Context, limit time.Duration) (ctx context.Context, cancel func()) {
	p := &opening{Context: around, done: make(chan struct{}), ends: time.Now().Add(limit)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(limit, func() { p.end(context.DeadlineExceeded) })
	p.stop = context.AfterFunc(around, func() { p.end(around.Err()) })
	return p, func() { p.end(context.Canceled) }
}

func (p *opening) end(why error) {
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

// stretch gives an opening more time, whose TCP took one trip.
func stretch(ctx context.Context, trip time.Duration) {
	p, ok := ctx.Value(openingKey{}).(*opening)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.timer.Stop() {
		p.ends = p.ends.Add(slowTrips * trip)
		p.timer.Reset(time.Until(p.ends))
	}
}

func (p *opening) Done() <-chan struct{} { return p.done }

func (p *opening) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *opening) Value(key any) any {
	if key == (openingKey{}) {
		return p
	}
	return p.Context.Value(key)
}
