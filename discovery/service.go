package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// service is the picker of one service.
type service struct {
	d    *Discovery
	name string
	view atomic.Pointer[view]
	turn atomic.Uint64
	size atomic.Int64 // listed members

	waiting  atomic.Int64 // calls that wait for an instance; at most maxWaiting
	timeouts atomic.Int32 // in a row that make a member suspect

	subscribe sync.Once
	stale     atomic.Bool // the view is out of date

	mu        sync.Mutex
	opts      Options
	weighedBy *policy.Rules // the rules that members were weighed by
	u         *union
	ring      *ring
	turns     turns
	due       time.Time // time of the next tick without an event; zero: none
}

var _ rpc.Picker = (*service)(nil)

func newService(d *Discovery, name string) *service {
	s := &service{d: d, name: name, u: newUnion(name, &d.cfg, time.Now()), ring: &ring{}}
	s.obey(d.cfg.optionsOf(name))
	s.view.Store(&view{replaced: make(chan struct{})})
	s.stale.Store(true)
	s.turn.Store(rand.Uint64N(1 << 32)) // random, so that consumers that start together use different turns
	return s
}

// obey sets the rules.
func (s *service) obey(o Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts = o
	s.timeouts.Store(int32(cmp.Or(o.Failures, timeoutLimit)))
	s.stale.Store(true)
}

// Pick implements rpc.Picker.
func (s *service) Pick(ctx context.Context, call *rpc.Call) (*rpc.Endpoint, error) {
	v := s.view.Load()
	if ep := v.pick(call, &s.turn); ep != nil {
		return ep, nil
	}
	return s.await(ctx, call, v)
}

// await is Pick without a candidate. It waits while the sources may still name one.
func (s *service) await(ctx context.Context, call *rpc.Call, v *view) (*rpc.Endpoint, error) {
	if call.Wait {
		return s.awaitNext(ctx, call, v)
	}
	for {
		if ep := v.pick(call, &s.turn); ep != nil {
			return ep, nil
		}
		if v.settled || v.candidates(call) > 0 {
			return nil, s.none(call, v)
		}
		select {
		case <-v.replaced:
			v = s.view.Load()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: still asking for %s (%s): %w", rpc.ErrNoInstance, s.name, s.heard(), ctx.Err())
		}
	}
}

// awaitNext waits for an instance that the call has not tried, or for a tried one that has become
// well again.
func (s *service) awaitNext(ctx context.Context, call *rpc.Call, v *view) (*rpc.Endpoint, error) {
	begun := time.Now()
	if s.waiting.Add(1) > maxWaiting {
		s.waiting.Add(-1)
		return nil, fmt.Errorf("%w; %d calls wait for the next one already", s.none(call, v), maxWaiting)
	}
	defer s.waiting.Add(-1)
	for {
		ep := v.pick(call, &s.turn)
		if ep == nil {
			ep = s.recovered(call, v)
		}
		if ep != nil {
			return ep, nil
		}
		select {
		case <-v.replaced:
			v = s.view.Load()
		case <-ctx.Done():
			waited := time.Since(begun).Round(time.Millisecond)
			return nil, fmt.Errorf("%w; none came in %v: %w", s.none(call, v), waited, ctx.Err())
		}
	}
}

// recovered is an instance that the call has tried and that is well again.
func (s *service) recovered(call *rpc.Call, v *view) *rpc.Endpoint {
	v = v.choices(call)
	if v == nil || v.tier > tierWell {
		return nil
	}
	for _, c := range v.best {
		if m := s.member(c.ep); m != nil && !m.shaky.Load() {
			return c.ep
		}
	}
	return nil
}

// none is the error of a view without a candidate for a call.
func (s *service) none(call *rpc.Call, v *view) error {
	if n := v.candidates(call); n > 0 {
		return fmt.Errorf("%w: the call has tried each of the %d of %s", rpc.ErrNoInstance, n, s.name)
	}
	if all := v.of(call); all != nil && all.size() > 0 {
		return fmt.Errorf("%w: none of the %d of %s is where the site's policy sends the call (%s, else: %s)",
			rpc.ErrNoInstance, all.size(), s.name, call.Route.Key, call.Route.Else)
	}
	if err := v.noneOf(s.name, call.Version); err != nil {
		return err
	}
	return fmt.Errorf("%w: still asking for %s (%s)", rpc.ErrNoInstance, s.name, s.heard())
}

// Report implements rpc.Picker.
func (s *service) Report(e *rpc.Endpoint, o health.Outcome, latency time.Duration) {
	switch o {
	case health.OK, health.AppError, health.Internal, health.Refused, health.Barred, health.Limited, health.Denied:
	case health.Timeout:
		e.Failed()
		if m := s.member(e); m != nil {
			s.timedOut(m, int(m.timeouts.Add(1)))
		}
		return
	case health.Connect, health.Broken:
		e.Failed()
		return
	default:
		return
	}
	m := s.member(e)
	if m == nil {
		return
	}
	if m.timeouts.Load() != 0 {
		m.timeouts.Store(0)
	}
	if m.troubled.Load() {
		s.change(m, func(now time.Time) bool {
			if now.Add(-latency).Before(m.cond.suspectSince) {
				return false // the answer belongs to a call from before the failure
			}
			if m.cond.silent && s.d.cfg.Probe != nil {
				return false // a small answer may pass where large ones vanish
			}
			m.cond.answered()
			return true
		})
	}
}

func (s *service) member(e *rpc.Endpoint) *member {
	if m, ok := s.u.byEndpoint.Load(e); ok {
		return m.(*member)
	}
	return nil
}

// change runs f under the mutex, and renews the view when f returns true.
func (s *service) change(m *member, f func(now time.Time) bool) {
	s.mu.Lock()
	changed := f(time.Now())
	s.mu.Unlock()
	if changed {
		s.touch()
	}
}

// touch makes the loop renew the view.
func (s *service) touch() {
	s.stale.Store(true)
	s.d.wake()
}

// timedOut probes a member after a call without an answer in time, and suspects it after several in
// a row.
func (s *service) timedOut(m *member, inARow int) {
	limit := int(s.timeouts.Load())
	if inARow != 1 && inARow != limit {
		return
	}
	suspect := false
	s.change(m, func(now time.Time) bool {
		if inARow == limit {
			suspect = m.cond.silence(now, fmt.Sprintf("%d calls in a row timed out", inARow))
		}
		if !m.asking {
			m.ask(now)
		}
		return true
	})
	if suspect {
		s.d.tellSuspect(m, "calls to it time out")
	}
}

func (s *service) down(m *member, dial bool, cause error) {
	suspect := false
	s.change(m, func(now time.Time) bool {
		m.shaky.Store(true)
		why := fmt.Sprintf("connection broke: %v", cause)
		if dial {
			after, eject := s.opts.ejects(&s.d.cfg)
			if !s.mayEject(now) {
				after = math.MaxInt
			}
			suspect = m.cond.dialFailed(now, after, eject, fmt.Sprint(cause))
		} else if errors.Is(cause, rpc.ErrSilent) {
			suspect = m.cond.silence(now, why)
		} else {
			suspect = m.cond.broke(now, why)
		}
		if suspect && !m.asking {
			m.ask(now)
		}
		return suspect
	})
	if suspect {
		s.d.tellSuspect(m, fmt.Sprint(cause))
	}
}

// mayEject reports whether one more member may be ejected by Options.MaxEjected. s.mu is held.
func (s *service) mayEject(now time.Time) bool {
	if s.opts.MaxEjected == 0 {
		return true
	}
	ejected, all := 1, 0
	for _, m := range s.u.order {
		if m.buried == nil {
			all++
		}
		if now.Before(m.cond.ejectedUntil) {
			ejected++
		}
	}
	return ejected < all && ejected*100 <= s.opts.MaxEjected*all
}

func (s *service) up(m *member) {
	s.change(m, func(time.Time) bool {
		if m.cond.silent || m.cond.suspectSince.IsZero() || m.foreign() {
			m.cond.dialFails = 0
			return false // accepting a connection is no answer
		}
		m.cond.answered()
		return true
	})
}

func (s *service) leaving(m *member) {
	s.change(m, func(now time.Time) bool {
		m.shaky.Store(true)
		return m.cond.leave(now)
	})
}

// heardFrom applies the word of a source.
func (s *service) heardFrom(source int, snap registry.Snapshot) {
	s.mu.Lock()
	src := &s.u.sources[source]
	was := *src
	s.u.apply(source, snap, time.Now())
	news := len(s.u.notes) > 0 || !was.answered || (was.lost == nil) != (src.lost == nil) ||
		was.partial != src.partial ||
		len(was.list) != len(src.list)
	s.mu.Unlock()
	if news {
		s.touch()
	}
}

// tick does all due work, publishes the view, and returns the members to probe.
func (s *service) tick(now time.Time) (asks []*member) {
	s.stale.Store(false) // before reading: a later change belongs to the next tick
	s.mu.Lock()
	s.u.expire()
	s.u.tombs.DeleteExpired()
	s.due = s.u.reviewDisk(now)
	for _, m := range s.u.order {
		s.due = run.Earliest(s.due, s.u.lapse(m, now))
		switch {
		case s.d.cfg.Probe == nil || m.askAt.IsZero() || m.away != "":
		case m.askAt.After(now):
			s.due = run.Earliest(s.due, m.askAt)
		case !m.asking:
			m.asking, m.askAt = true, time.Time{}
			asks = append(asks, m)
		}
	}
	s.publish(now)
	events := s.u.drain(s, now)
	s.mu.Unlock()
	s.d.tell(events)
	return asks
}

// publish makes the next view. s.mu is held.
func (s *service) publish(now time.Time) {
	var byTier [tiers][]candidate
	var onRing []*member
	listed := 0
	if n := len(s.u.order); s.opts.Balancer == balanceHash {
		onRing = make([]*member, 0, n)
	}
	if v := s.view.Load(); len(v.best) > 0 { // the new one will be about as large
		byTier[v.tier] = make([]candidate, 0, len(v.best)+1)
	}
	s.u.inherit()
	s.weigh()
	for _, m := range s.u.order {
		tier, state, share, next := tierOf(m, s.opts, s.d.cfg.Zone, s.d.cfg.WarmUp, now)
		s.due = run.Earliest(s.due, next)
		m.tier.Store(uint32(tier))
		m.troubled.Store(!m.cond.suspectSince.IsZero())
		m.shaky.Store(!m.cond.clean())
		if m.shown != state && m.shown != "" && !s.u.noted(m) {
			s.u.notes = append(s.u.notes, note{m, Changed, fmt.Sprintf("was %s, is %s", m.shown, state)})
		}
		m.recovered = state.Well() && (m.shown == Suspect || m.shown == Ejected)
		m.shown = state
		if state.Here() {
			listed++
		}
		if tier == tierNone {
			continue
		}
		weight := max(1, int(10*share*float64(m.weight())+0.5))
		byTier[tier] = append(byTier[tier], candidate{m.ep, weight, m.in})
		if onRing != nil {
			onRing = append(onRing, m)
		}
	}
	if s.opts.Balancer == balanceHash {
		s.ring = s.ring.with(onRing)
	}
	s.size.Store(int64(listed))
	v := newView(s.opts, &byTier, s.ring)
	v.split(s.opts, &byTier, s.ring, &s.turns)
	s.u.refused = listed > 0 &&
		!slices.ContainsFunc(s.u.order,
			func(m *member) bool { return m.shown != Excluded && m.shown != Gone })
	settled, next := s.u.settled(now)
	v.settled = settled || s.d.stopped.Load()
	if s.due = run.Earliest(s.due, next); len(v.best) == 0 {
		v.none = fmt.Errorf("%w: %s", rpc.ErrNoInstance, s.whyNone(listed))
	}
	close(s.view.Swap(v).replaced)
}
