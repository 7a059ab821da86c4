package membership

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/internal/wire"
)

// Bounds of an answer of spans.
const (
	spanBytes   = 512 << 10
	spanText    = 128 // bytes of one text that is read from another process
	longestSpan = 100_000 * time.Hour
)

const slowestFirst = "slowest"

var spanSides = [...]string{spans.Caller: "caller", spans.Callee: "callee", spans.Edge: "edge"}

// Spans tells calls that this process has made and served lately.
func (s *Service) Spans(_ context.Context, q *wire.SpanQuery) (*wire.Spans, error) {
	f, err := spanFilter(q)
	if err != nil {
		return nil, err
	}
	found, more := s.cfg.Spans.Find(f)
	return spanAnswer(found, more, s.cfg.Spans.SlowLimit()), nil
}

// spanFilter reads a question of another process.
func spanFilter(q *wire.SpanQuery) (f spans.Filter, err error) {
	if n := len(q.Traces); n > spans.MostTraces {
		return f, fmt.Errorf("spans of %d traces are asked for, at most %d are told at once", n, spans.MostTraces)
	}
	for _, id := range q.Traces {
		if len(id) != 16 {
			return f, fmt.Errorf("a trace id has %d bytes, want 16", len(id))
		}
		f.Traces = append(f.Traces, [16]byte(id))
	}
	duration := func(n int64, unit time.Duration) time.Duration {
		return time.Duration(min(max(n, 0), int64(longestSpan/unit))) * unit
	}
	f.Service, f.Method, f.Failure, f.Mark = q.GetName(), q.GetMethod(), q.GetFailure(), q.GetMark()
	f.Since, f.Slower = duration(q.GetSinceMs(), time.Millisecond), duration(q.GetSlowerUs(), time.Microsecond)
	f.Slowest, f.Most = q.GetOrder() == slowestFirst, int(q.Most)
	return f, nil
}

// spanAnswer is the answer with as many spans as fit.
func spanAnswer(found []spans.Span, more bool, slow time.Duration) *wire.Spans {
	w := &wire.Spans{Spans: []*wire.Span{}, Every: spans.Every, SlowUs: slow.Microseconds()}
	size := 0
	for i := range found {
		s := wireSpan(&found[i])
		size += 96 + len(s.Name) + len(s.Method) + len(s.GetFailure()) + len(s.GetVersion()) + len(s.GetPeer()) +
			len(s.GetCaller()) + len(s.GetRules()) + len(s.GetMark()) + len(s.GetRelease()) + len(s.GetNotes())
		if size > spanBytes {
			more = true
			break
		}
		w.Spans = append(w.Spans, s)
	}
	if more {
		w.More = &more
	}
	return w
}

func wireSpan(s *spans.Span) *wire.Span {
	w := &wire.Span{Trace: s.Trace[:], ID: int64(s.ID), Side: spanSides[min(int(s.Side), len(spanSides)-1)],
		Name: s.Service, Method: s.Method, AgoUs: s.Began.Microseconds(), TookUs: s.Took.Microseconds(),
		Failure: some(s.Failure), Version: some(s.Version), Peer: some(s.Peer), Caller: some(s.Caller),
		WaitUs: some(s.Wait.Microseconds()), LimitMs: some(s.Limit.Milliseconds()), Parent: some(int64(s.Parent)),
		Rules: some(s.Rules), Mark: some(s.Mark), Release: some(s.Release), Notes: some(s.Notes)}
	if s.Attempt > 1 {
		w.Attempt = new(int32(s.Attempt))
	}
	return w
}

// some is a value that is not absent.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Spans asks the process for spans. Their Began is the age at the time of the answer.
func (p *Peer) Spans(ctx context.Context, f spans.Filter) (found []spans.Span, more bool, err error) {
	q := &wire.SpanQuery{Name: some(f.Service), Method: some(f.Method), Failure: some(f.Failure), Mark: some(f.Mark),
		SinceMs: some(f.Since.Milliseconds()), SlowerUs: some(f.Slower.Microseconds()),
		Most: int32(min(max(f.Most, 0), spans.MostFound))}
	if f.Slowest {
		q.Order = new(slowestFirst)
	}
	for _, id := range f.Traces {
		q.Traces = append(q.Traces, id[:])
	}
	w, err := p.client().Spans(ctx, q)
	if err != nil {
		return nil, false, err
	}
	for _, s := range w.Spans[:min(len(w.Spans), spans.MostFound)] {
		if len(s.Trace) == 16 {
			found = append(found, spanOf(s))
		}
	}
	return found, w.GetMore() || len(w.Spans) > spans.MostFound, nil
}

// spanOf reads what another process says, within bounds.
func spanOf(w *wire.Span) spans.Span {
	duration := func(n int64, unit time.Duration) time.Duration {
		return time.Duration(min(max(n, 0), int64(longestSpan/unit))) * unit
	}
	s := spans.Span{Trace: [16]byte(w.Trace), ID: uint64(w.ID), Parent: uint64(w.GetParent()),
		Began: duration(w.AgoUs, time.Microsecond), Took: duration(w.TookUs, time.Microsecond),
		Wait: duration(w.GetWaitUs(), time.Microsecond), Limit: duration(w.GetLimitMs(), time.Millisecond),
		Attempt: int(min(max(w.GetAttempt(), 1), math.MaxUint16)), Failure: w.GetFailure(), Service: w.Name,
		Method: w.Method, Version: w.GetVersion(), Peer: w.GetPeer(), Caller: w.GetCaller(), Rules: w.GetRules(),
		Mark: w.GetMark(), Release: w.GetRelease(), Notes: w.GetNotes()}
	for i, name := range spanSides {
		if w.Side == name {
			s.Side = spans.Side(i)
		}
	}
	for _, t := range []*string{&s.Failure, &s.Service, &s.Method, &s.Version, &s.Peer, &s.Caller, &s.Rules, &s.Mark,
		&s.Release, &s.Notes} {
		*t = spans.Cut(quote.Text(spans.Cut(*t, spanText)), spanText)
	}
	return s
}
