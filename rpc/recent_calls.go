package rpc

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/tracecontext"
)

// recentKey is the key under which the client remembers a call.
func (s *serviceClient) recentKey(call *Call, version string) recent.Key {
	return recent.Key{
		Side:        recent.Caller,
		Service:     s.name,
		Method:      call.Method,
		Version:     version,
		OwnFallback: s.o.Fallback != nil,
		Unmirrored:  call.OneWay || s.mirrors == nil,
	}
}

// recentStandIn is the outcome of a call that the policy has answered before it was sent.
const recentStandIn = recent.StandIn

// recentOutcome is the end of a call as it is remembered.
func recentOutcome(err error) uint8 {
	if err == nil {
		return recent.OK
	}
	return recent.FirstCode + uint8(min(CodeOf(err), codes-1))
}

// remember remembers a call that has ended.
func (s *serviceClient) remember(ctx context.Context, call *Call, outcome uint8) {
	if s.c.cfg.Recent == nil || s.framework || s.at != nil {
		return
	}
	kind := call.kind
	if kind == nil {
		kind = s.tally(call).kind
	}
	if call.injected {
		outcome = recent.Injected
	}
	ended := call.ended
	if ended.IsZero() {
		ended = time.Now()
	}
	took := ended.Sub(call.began)
	if !kind.Record(call.began, took, outcome) {
		return
	}
	q := s.c.request(ctx, call)
	f := recent.Facts{Baggage: q.Baggage, Mark: q.Mark, Seed: q.Seed, Seeded: q.Seeded}
	if info := CallInfoFrom(ctx); info != nil {
		f.Trace = tracecontext.ID(info.Trace)
	}
	if e := call.Endpoint(); e != nil {
		f.Owner = cmp.Or(e.Owner, e.Announcer)
	}
	kind.Sample(call.began, took, outcome, &f)
}

// findKind finds the row in which the server remembers the call. Only the reader of the connection calls it.
func (r *serverCall) findKind() {
	c, s := r.conn, r.conn.s
	if s.cfg.Recent == nil || r.served == s.unknown {
		return
	}
	at := r.counted
	if at.kind.Load() != nil && at.kindFrom == r.info.from && at.kindFacts == c.facts {
		return
	}
	k := recent.Key{Side: recent.Callee, Service: r.served.name, Version: r.served.version, Method: r.kind.name}
	k.Caller, k.Proof = r.info.from.caller(at.key.caller)
	k.Greets = c.hello != nil
	if f := c.facts; f != nil {
		k.Zone = f.zone
		if f.name == r.info.Caller {
			k.CallerVersion = f.version
			k.Tags = recent.TagText(slices.Sorted(maps.Keys(f.tags)), func(key string) string { return f.tags[key] })
		}
	}
	at.kindFrom, at.kindFacts = r.info.from, c.facts
	at.kind.Store(s.cfg.Recent.Kind(k))
}

// recentServed is the end of a call that was executed.
func recentServed(o health.Outcome) uint8 {
	if o.Failed() {
		return recent.Failed
	}
	return recent.Served
}

// remember remembers a call that has ended, or that was refused.
func (r *serverCall) remember(took time.Duration, outcome uint8) {
	kind := r.counted.kind.Load()
	if kind.Record(r.arrived, took, outcome) {
		f := r.recentFacts()
		kind.Sample(r.arrived, took, outcome, &f)
	}
}

// rememberRefusal remembers a call that was refused after the policy was asked.
func (r *serverCall) rememberRefusal(code Code) {
	switch code {
	case AccessDenied:
		r.remember(0, recent.Denied)
	case Limited:
		r.remember(0, recent.Limited)
	case Overloaded:
		r.remember(0, recent.Refused)
	}
}

// recentFacts are the facts of the call's trace that traceFacts finds at its beginning.
func (r *serverCall) recentFacts() recent.Facts {
	f := recent.Facts{Baggage: r.info.Baggage, Trace: tracecontext.ID(r.info.Trace)}
	if t, raw, err := r.info.rolloutToken(); raw != "" || err != nil {
		f.Seed, f.Mark, f.Seeded = t.Seed, t.Mark, err == nil
		return f
	}
	if f.Baggage != "" {
		f.Mark = tracecontext.Member(f.Baggage, tracecontext.MarkMember)
	}
	f.Seed, f.Seeded = knownSeed(&r.info)
	return f
}
