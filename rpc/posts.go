package rpc

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	postCount  = 64               // readers that may run handlers themselves at a time
	postTries  = 4                // places that a reader looks at
	watchEvery = time.Millisecond // a reader is relieved after one to two of them
	watchRest  = 50               // looks without a call after which the watch sleeps
)

// posts are where readers stand while they run a handler themselves. A watch
// goes round as long as calls come, and relieves those whose handler takes
// long, so that nobody waits behind it and its cancellation is read.
type posts struct {
	places [postCount]post
	used   atomic.Bool // since the watch has looked
	asleep atomic.Bool
	wake   chan struct{}
}

// post is a place, apart from the next one's cache line.
type post struct {
	atomic.Pointer[request]
	_ [56]byte
}

// take finds a place for r; without one a worker has to run it.
func (p *posts) take(r *request) bool {
	for i := range uint32(postTries) {
		r.post = &p.places[(r.conn.number+i)%postCount].Pointer
		if r.post.Load() == nil && r.post.CompareAndSwap(nil, r) {
			p.rouse()
			return true
		}
	}
	r.post = nil
	return false
}

func (p *posts) rouse() {
	if !p.used.Load() {
		p.used.Store(true)
	}
	if p.asleep.Load() && p.asleep.CompareAndSwap(true, false) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (p *posts) each(f func(*request)) {
	for i := range p.places {
		if r := p.places[i].Load(); r != nil {
			f(r)
		}
	}
}

// watch goes round until ctx ends.
func (p *posts) watch(ctx context.Context) error {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for idle := 0; ; idle++ {
		if p.look() {
			idle = 0
		}
		if idle < watchRest {
			timer.Reset(watchEvery)
		} else {
			timer.Stop()
			p.asleep.Store(true)
			if p.look() { // a call came before asleep was set
				p.rouse()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.wake:
			idle = 0
		}
	}
}

// look relieves who has stood too long. It reports whether anybody has been
// at a post since the last look.
func (p *posts) look() (used bool) {
	used = p.used.Swap(false)
	now := time.Now()
	p.each(func(r *request) {
		used = true
		if now.Sub(r.began) >= watchEvery {
			r.conn.relieve(r)
		}
	})
	return used
}
