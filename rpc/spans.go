package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/policy"
)

// keepSpan keeps the span of an attempt that failed, was slow, was a retry, or belongs to a sampled trace.
func (a *attempt) keepSpan(o health.Outcome, err error, took time.Duration) {
	r := a.s.c.cfg.Spans
	if r == nil || a.s.framework {
		return
	}
	c := a.call
	if err == nil && c.Attempt <= 1 && c.chain <= 1 && !r.Slow(took) && !c.sampled(a.info) {
		return
	}
	s := spans.Span{Took: took, Version: a.ep.Version, Peer: a.ep.Addr, Wait: c.waited,
		Limit: a.ctx.deadline.Sub(a.began)}
	c.waited = 0
	if err != nil {
		s.Failure = CodeOf(err).String()
	} else if o == health.AppError {
		s.Notes = spans.Exception
	}
	sent := ""
	if c.traceAt > 0 {
		sent = string(c.head[c.traceAt : c.traceAt+tracecontext.Size])
	}
	a.s.keep(a.ctx.base, c, a.info, sent, a.began, &s)
}

// sampled reports whether the trace of the latest attempt is kept.
func (c *Call) sampled(info *CallInfo) bool {
	if at := c.traceAt; at > 0 {
		return spans.Sampled(c.head[at+33], c.head[at+34])
	}
	return info != nil && spans.SampledParent(info.Trace)
}

// keep keeps a span of a call. sent is the traceparent of the attempt, "" when none was sent.
func (s *serviceClient) keep(
	ctx context.Context, c *Call, info *CallInfo, sent string, began time.Time, p *spans.Span,
) {
	parent := ""
	if info != nil {
		parent = info.Trace
	}
	if sent == "" {
		if sent = parent; sent == "" {
			sent = c.ownTrace
		}
		sent = tracecontext.NextSpan(sent)
	}
	if parent == "" {
		c.ownTrace = sent // for further attempts
	}
	p.Trace, p.ID, _ = spans.IDs(sent)
	_, p.Parent, _ = spans.IDs(parent)
	p.Service, p.Method, p.Caller, p.Attempt = s.name, c.Method, s.c.cfg.Caller, max(1, c.chain+c.Attempt-1)
	p.Rules = c.rulesActed(p)
	if q := s.c.request(ctx, c); q.Mark != "" {
		p.Mark = q.Mark
	}
	if t := c.routing.trace; t != nil {
		p.Release = c.routing.token.Generation.String()
	}
	for _, note := range []struct {
		is   bool
		text string
	}{{c.OneWay, spans.OneWay}, {c.inCopy(), spans.Copy}} {
		if note.is {
			p.Notes = strings.TrimSpace(p.Notes + " " + note.text)
		}
	}
	s.c.cfg.Spans.Keep(began, p)
}

// rulesActed names the items and settings of the site's policy that have acted on a call.
func (c *Call) rulesActed(p *spans.Span) string {
	var parts []string
	if p.Rules != "" {
		parts = append(parts, p.Rules)
	}
	if c.fault != nil {
		parts = append(parts, c.fault.Key)
	}
	if c.Route != nil {
		parts = append(parts, c.Route.Key)
	}
	if r := c.rules.rules; r != nil && (p.Failure != "" || p.Attempt > 1) {
		if t := r.Settings.Timeout; t != nil {
			parts = append(parts, "timeout "+t.String())
		}
		if t := r.Settings.AttemptTimeout; t != nil {
			parts = append(parts, "attempt_timeout "+t.String())
		}
		if n := r.Settings.Retries; n != nil {
			parts = append(parts, "retries "+strconv.Itoa(*n))
		}
	}
	return strings.Join(parts, ", ")
}

// keepUnsent keeps the span of a call that failed before an attempt of it was sent.
func (s *serviceClient) keepUnsent(ctx context.Context, c *Call, code Code, took time.Duration) {
	if s.c.cfg.Spans == nil || s.framework {
		return
	}
	p := spans.Span{Took: took, Failure: code.String(), Version: c.Version, Wait: c.waited}
	s.keep(ctx, c, CallInfoFrom(ctx), "", c.began, &p)
}

// keepFallback keeps the span of a call that a fallback of the policy has answered.
func (s *serviceClient) keepFallback(ctx context.Context, c *Call, item *policy.Item) {
	if s.c.cfg.Spans == nil || s.framework || c.ended.IsZero() {
		return
	}
	p := spans.Span{Took: time.Since(c.began), Version: c.Version, Rules: item.Key, Notes: spans.Fallback}
	s.keep(ctx, c, CallInfoFrom(ctx), "", c.began, &p)
}

// keepSpan keeps the span of a served call that failed, was slow, was a retry, or belongs to a sampled trace.
func (r *serverCall) keepSpan(o health.Outcome, took time.Duration) {
	k := r.conn.s.cfg.Spans
	if k == nil || o <= health.AppError && r.info.Attempt <= 1 && !k.Slow(took) &&
		!spans.SampledParent(r.info.Trace) || r.internal {
		return
	}
	s := spans.Span{Took: took, Wait: r.began}
	switch {
	case o == health.AppError:
		s.Notes = spans.Exception
	case o > health.AppError:
		s.Failure = o.String()
	}
	r.keep(k, &s)
}

// keepRefusal keeps the span of a call that was refused.
func (r *serverCall) keepRefusal(code Code) {
	k := r.conn.s.cfg.Spans
	if k == nil || r.internal {
		return
	}
	s := spans.Span{Failure: code.String(), Refused: true}
	if p := r.counted.policed; p != nil {
		switch item := p.denied.by; {
		case code == Limited && p.limited != nil:
			s.Rules = p.limited.Key
		case code == AccessDenied && item != nil:
			s.Rules = item.Key
		case code == AccessDenied:
			s.Rules = "access.default"
		}
	}
	r.keep(k, &s)
}

func (r *serverCall) keep(k *spans.Recorder, s *spans.Span) {
	i := &r.info
	trace := i.Trace
	if trace == "" {
		trace = tracecontext.NextSpan("")
	}
	s.Trace, s.ID, _ = spans.IDs(trace)
	s.Side, s.Attempt, s.Version = spans.Callee, i.Attempt, i.Version
	if s.Service, s.Method = r.served.name, i.Method; s.Service == "" {
		s.Service = i.Service
	}
	s.Caller, s.Peer = i.Caller, i.Peer
	if s.Caller == "" {
		s.Caller, _ = i.from.caller("")
	}
	if !i.Deadline.IsZero() {
		s.Limit = i.Deadline.Sub(r.arrived)
	}
	if i.OneWay {
		s.Notes = strings.TrimSpace(s.Notes + " " + spans.OneWay)
	}
	if i.mirrored {
		s.Notes = strings.TrimSpace(s.Notes + " " + spans.Copy)
	}
	if t, raw, err := i.rolloutToken(); raw != "" && err == nil {
		s.Mark, s.Release = t.Mark, t.Generation.String()
	} else if i.Baggage != "" {
		s.Mark = tracecontext.Member(i.Baggage, tracecontext.MarkMember)
	}
	k.Keep(r.arrived, s)
}
