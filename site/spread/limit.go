package spread

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// pace spaces bytes out, so that no more than rate of them pass in a second.
type pace struct {
	rate int64 // bytes in a second; 0: no limit

	mu   sync.Mutex
	next time.Time // when the next byte may pass
}

// wait waits until n bytes may pass.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	until := p.next
	p.mu.Unlock()
	return run.Sleep(ctx, until.Sub(now))
}

// cached is a value that is made anew when it is older than an age, by one goroutine at a time.
type cached[T any] struct {
	age  time.Duration
	make func(context.Context) (T, error)

	mu   sync.Mutex
	at   time.Time
	last T
}

func (c *cached[T]) get(ctx context.Context) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < c.age {
		return c.last, nil
	}
	value, err := c.make(ctx)
	if err == nil {
		c.last, c.at = value, time.Now()
	}
	return value, err
}
