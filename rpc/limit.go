package rpc

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/number"
)

// Limit bounds calls. A call over the limit is refused at once, before it is executed. Calls do not
// queue.
type Limit struct {
	Pending int     // calls at a time; 0 means no limit
	Rate    float64 // calls a second; 0 means no limit
	Burst   int     // calls that may come at once over a rate; 0 means the calls of 100 ms, at least 1
}

// Limits are the limits of a service and of single methods of it. A call
// must pass both.
type Limits struct {
	Limit
	Methods map[string]Limit
}

// limiter enforces the Limits of one service. Calls take no lock and allocate nothing. It is safe
// for concurrent use. A nil limiter admits every call.
type limiter struct {
	service *callGate
	methods map[string]*callGate
}

// newLimiter returns nil for limits without a bound.
func newLimiter(service string, l Limits) *limiter {
	r := &limiter{service: newCallGate(service, l.Limit), methods: map[string]*callGate{}}
	for name, m := range l.Methods {
		if g := newCallGate(service+"."+name, m); g != nil {
			r.methods[name] = g
		}
	}
	if r.service == nil && len(r.methods) == 0 {
		return nil
	}
	return r
}

// acquire admits a call, or returns an error that names the exceeded limit. now is in nanoseconds of
// any clock that never goes back. The caller calls done of the permit when the call has ended.
func (l *limiter) acquire(method string, now int64) (permit, error) {
	if l == nil {
		return permit{}, nil
	}
	return l.through(l.service, method, now)
}

// through is acquire with another gate in the place of the service's.
func (l *limiter) through(service *callGate, method string, now int64) (permit, error) {
	p := permit{service: service}
	if l != nil {
		p.method = l.methods[method]
	}
	if err := p.method.enter(now); err != nil {
		return permit{}, err
	}
	if err := p.service.enter(now); err != nil {
		p.method.undo()
		return permit{}, err
	}
	return p, nil
}

// permit is a call's place within the limits.
type permit struct{ method, service *callGate }

func (p permit) done() {
	p.method.leave()
	p.service.leave()
}

// callGate is one limit. A nil gate is open.
type callGate struct {
	pending atomic.Int64
	used    atomic.Int64 // see gateBounds.interval
	bounds  atomic.Pointer[gateBounds]
}

// gateBounds are the bounds of a gate. They are immutable, and replaced when the site's policy changes.
type gateBounds struct {
	most int64 // largest number of pending calls; 0 = any

	// A rate is kept as one moment, used. Each call moves it on by interval, and is refused if it
	// would then lie more than ahead after now.
	interval, ahead int64

	// Made once, so that refusing is cheap.
	errPending, errRate error
}

// newCallGate returns nil for a limit without a bound.
func newCallGate(what string, l Limit) *callGate {
	if !l.bounds() {
		return nil
	}
	g := &callGate{}
	g.set(what, l)
	return g
}

func (l Limit) bounds() bool { return l.Pending > 0 || l.Rate > 0 }

// set gives the gate another limit. Calls that are pending count under it.
func (g *callGate) set(what string, l Limit) {
	b := &gateBounds{
		most:       int64(max(0, l.Pending)),
		errPending: fmt.Errorf("%s: %d calls are pending, the limit", what, l.Pending),
		errRate:    fmt.Errorf("%s: over the limit of %s calls a second", what, number.Exact(l.Rate)),
	}
	if l.Rate > 0 {
		burst := l.Burst
		if burst <= 0 {
			burst = max(1, int(l.Rate/10))
		}
		b.interval = max(1, int64(float64(time.Second)/l.Rate))
		b.ahead = int64(burst) * b.interval
	}
	g.bounds.Store(b)
}

func (g *callGate) enter(now int64) error {
	if g == nil {
		return nil
	}
	b := g.bounds.Load()
	if n := g.pending.Add(1); b.most > 0 && n > b.most {
		g.pending.Add(-1)
		return b.errPending
	}
	if b.interval > 0 && !spend(&g.used, now, b.interval, b.ahead) {
		g.pending.Add(-1)
		return b.errRate
	}
	return nil
}

// spend moves the moment of a rate on by one call, unless it would then lie more than ahead after now.
func spend(moment *atomic.Int64, now, interval, ahead int64) bool {
	for {
		used := moment.Load()
		next := max(used, now) + interval
		if next > now+ahead {
			return false
		}
		if moment.CompareAndSwap(used, next) {
			return true
		}
	}
}

func (g *callGate) leave() {
	if g != nil {
		g.pending.Add(-1)
	}
}

// undo takes an entry back, including its part of the rate, because the call did not happen.
func (g *callGate) undo() {
	if g != nil {
		g.pending.Add(-1)
		g.used.Add(-g.bounds.Load().interval)
	}
}
