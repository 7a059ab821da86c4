package rpc

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	inlineMost    = 64                // handlers that run inline at a time
	inlineTries   = 4                 // places that a reader tries
	watchdogEvery = time.Millisecond  // between two checks; a handler that runs longer loses the reader at the next
	watchdogAlone = 5 * watchdogEvery // the same while no call waits behind another
	watchdogRest  = 50                // checks without a call before it sleeps, without a waiting call before it slows
)

// inlineRuns tracks the handlers that run on the reader of their connection. A
// watchdog moves the reading to a new goroutine when one runs longer than 1 ms, so
// that no call waits behind it and its cancellation is read.
//
// While calls come one by one the watchdog checks less often. In a process that is idle between its
// calls, the runtime sets a short timer in the kernel for each wait, which costs a lone call a sixth
// of its time.
type inlineRuns struct {
	runs    [inlineMost]inlineRun
	used    atomic.Bool // a handler has run inline since the last check
	crowded atomic.Bool // the same, and a call waited behind it
	state   atomic.Int32
	wake    chan struct{}
}

// How often the watchdog checks.
const (
	watchdogFast int32 = iota
	watchdogSlow
	watchdogAsleep
)

// inlineRun is the place of one run, on a cache line of its own.
type inlineRun struct {
	atomic.Pointer[serverCall]
	_ [56]byte
}

// start finds a place for r and reports whether it did; otherwise a worker runs r. crowded says
// that other calls wait behind it.
func (p *inlineRuns) start(r *serverCall, crowded bool) bool {
	for i := range uint32(inlineTries) {
		at := (r.conn.number + i) % inlineMost
		place := &p.runs[at].Pointer
		if place.Load() != nil {
			continue
		}
		r.inlineAt = int8(at) + 1
		if place.CompareAndSwap(nil, r) {
			p.rouse(crowded)
			return true
		}
	}
	r.inlineAt = 0
	return false
}

// inline returns the call's place in inlineRuns, nil when a worker runs it.
func (r *serverCall) inline() *atomic.Pointer[serverCall] {
	if r.inlineAt == 0 {
		return nil
	}
	return &r.conn.workers.inline.runs[r.inlineAt-1].Pointer
}

func (p *inlineRuns) rouse(crowded bool) {
	if !p.used.Load() {
		p.used.Store(true)
	}
	if crowded && !p.crowded.Load() {
		p.crowded.Store(true)
	}
	if s := p.state.Load(); s == watchdogAsleep || s == watchdogSlow && crowded {
		if p.state.CompareAndSwap(s, watchdogFast) {
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (p *inlineRuns) each(f func(*serverCall)) {
	for i := range p.runs {
		if r := p.runs[i].Load(); r != nil {
			f(r)
		}
	}
}

// watchdog inspects the inline runs until ctx ends.
func (p *inlineRuns) watchdog(ctx context.Context) error {
	timer := time.NewTimer(watchdogEvery)
	defer timer.Stop()
	for idle, alone := 0, 0; ; idle, alone = idle+1, alone+1 {
		used, crowded := p.inspect()
		if used {
			idle = 0
		}
		if crowded {
			alone = 0
		}
		switch {
		case idle >= watchdogRest:
			timer.Stop()
			p.settle(watchdogAsleep)
		case alone >= watchdogRest:
			timer.Reset(watchdogAlone)
			p.settle(watchdogSlow)
		default:
			timer.Reset(watchdogEvery)
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

// settle records that the watchdog checks less often, or not at all.
func (p *inlineRuns) settle(state int32) {
	p.state.Store(state)
	if used, crowded := p.inspect(); used || crowded { // a call came before it saw the state
		p.rouse(crowded)
	}
}

// inspect hands off connections with a handler that runs too long. It reports
// whether a handler has run inline since the last check, and whether another
// call waited behind it.
func (p *inlineRuns) inspect() (used, crowded bool) {
	used, crowded = p.used.Swap(false), p.crowded.Swap(false)
	now := time.Now()
	p.each(func(r *serverCall) {
		used = true
		if r.ranFor(now) >= watchdogEvery {
			r.conn.handOff(r)
			crowded = true // more of its kind may come
		}
	})
	return used, crowded
}
