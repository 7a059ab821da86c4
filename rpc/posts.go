package rpc

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	postCount  = 64               // readers that may run handlers themselves at a time
	postTries  = 4                // places that a reader looks at
	watchEvery = time.Millisecond // a reader with more to read is relieved after one to two of them
	watchAlone = 5 * watchEvery   // time between two looks while no call has had another one behind it
	watchRest  = 50               // looks without a call after which the watch sleeps; without a crowd, looks less often
)

// posts are where readers stand while they run a handler themselves. A watch
// goes round as long as calls come, and relieves those whose handler takes
// long, so that nobody waits behind it and its cancellation is read. While
// calls come one by one it looks less often: a timer that is due within a
// kernel's tick has to be set for each wait of an otherwise idle process, which
// costs a lone call a sixth of its time.
type posts struct {
	places [postCount]post
	used   atomic.Bool // since the watch has looked
	crowd  atomic.Bool // a call had another one behind it, since then
	state  atomic.Int32
	wake   chan struct{}
}

// How often the watch looks.
const (
	watchFast int32 = iota
	watchSlow
	watchAsleep
)

// post is a place, apart from the next one's cache line.
type post struct {
	atomic.Pointer[request]
	_ [56]byte
}

// take finds a place for r; without one a worker has to run it. crowded says
// that others wait behind it.
func (p *posts) take(r *request, crowded bool) bool {
	for i := range uint32(postTries) {
		r.post = &p.places[(r.conn.number+i)%postCount].Pointer
		if r.post.Load() == nil && r.post.CompareAndSwap(nil, r) {
			p.rouse(crowded)
			return true
		}
	}
	r.post = nil
	return false
}

func (p *posts) rouse(crowded bool) {
	if !p.used.Load() {
		p.used.Store(true)
	}
	if crowded && !p.crowd.Load() {
		p.crowd.Store(true)
	}
	if s := p.state.Load(); s == watchAsleep || s == watchSlow && crowded {
		if p.state.CompareAndSwap(s, watchFast) {
			select {
			case p.wake <- struct{}{}:
			default:
			}
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
	for idle, alone := 0, 0; ; idle, alone = idle+1, alone+1 {
		used, crowded := p.look()
		if used {
			idle = 0
		}
		if crowded {
			alone = 0
		}
		switch {
		case idle >= watchRest:
			timer.Stop()
			p.settle(watchAsleep)
		case alone >= watchRest:
			timer.Reset(watchAlone)
			p.settle(watchSlow)
		default:
			timer.Reset(watchEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.wake:
			idle, alone = 0, 0
		}
	}
}

// settle tells callers that the watch looks less often, or not at all.
func (p *posts) settle(state int32) {
	p.state.Store(state)
	if used, crowded := p.look(); used || crowded { // a call came before that was told
		p.rouse(crowded)
	}
}

// look relieves who has stood too long. It reports whether anybody has been
// at a post since the last look, and whether somebody waited behind him.
func (p *posts) look() (used, crowded bool) {
	used, crowded = p.used.Swap(false), p.crowd.Swap(false)
	now := time.Now()
	p.each(func(r *request) {
		used = true
		if r.ran(now) >= watchEvery {
			r.conn.relieve(r)
			crowded = true // more of its kind may come
		}
	})
	return used, crowded
}
