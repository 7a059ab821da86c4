package rpc

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// Bounds of the copies that a client has under way at a time. Beyond them calls are not copied.
const (
	mostCopies = 64
	copyBytes  = 8 << 20 // of arguments, together
)

// copying counts the copies under way.
type copying struct{ calls, bytes atomic.Int64 }

// begin reports whether one more copy with n bytes of arguments may begin.
func (c *copying) begin(n int) bool {
	if c.calls.Add(1) > mostCopies {
		c.calls.Add(-1)
		return false
	}
	if c.bytes.Add(int64(n)) > copyBytes {
		c.end(n)
		return false
	}
	return true
}

func (c *copying) end(n int) {
	c.calls.Add(-1)
	c.bytes.Add(-int64(n))
}

// mirrored reports whether a call belongs to the trace of a copy.
func mirrored(info *CallInfo) bool {
	return info != nil && info.Baggage != "" &&
		tracecontext.Member(info.Baggage, tracecontext.MirrorMember) != ""
}

var errShadow = errors.New("the call belongs to a copy of another call (mirror in the site's policy), and the method " +
	"is not declared idempotent, so that a copy can't change anything")

// shadow refuses a call of a mirrored trace that might change something.
func (s *serviceClient) shadow(ctx context.Context, call *Call) error {
	if call.mirrored = !s.framework && s.at == nil && mirrored(CallInfoFrom(ctx)); !call.mirrored ||
		call.rules.o.Hop || call.rules.o.idempotent(call.Method) {
		return nil
	}
	return s.refused(call, Shadow, errShadow)
}

// shadowed remembers in a handler's copy that a call of it was refused, so that the copy's failure is held against no
// version.
func shadowed(ctx context.Context, err error) {
	if info, _ := ctx.Value(servedKey{}).(*CallInfo); info != nil && CodeOf(err) == Shadow {
		atomic.StoreUint32(&info.shadowed, 1)
	}
}

// mirror sends a copy of the call, if the site's policy says so. The copy begins a trace of its own with
// the mark that the policy gives, and no caller waits for its reply.
func (s *serviceClient) mirror(ctx context.Context, call *Call) {
	item := call.rules.rules.Mirror(&call.facts)
	if item == nil || s.mirrors == nil || call.OneWay || call.opensStream() || call.mirrored ||
		!call.rules.o.idempotent(call.Method) {
		return
	}
	mark, awake := laneMark(item.To.Mark, s.c.cfg.Rollout)
	if !awake {
		return
	}
	args, err := s.rawArgs(ctx, call)
	if err != nil {
		return // the call itself fails with the same error
	}
	size := len(args.whole)
	if !s.c.copies.begin(size) {
		return
	}
	method, seed, baggage := call.Method, call.facts.Seed, mirrorBaggage(call.facts.Baggage)
	if !s.c.spawn(func() {
		defer s.c.copies.end(size)
		s.sendCopy(method, args, seed, mark, baggage)
	}) {
		s.c.copies.end(size)
	}
}

// previewMark stands for the mark of the open release.
const previewMark = "preview"

// mirrorBaggage is the baggage of a copy: that of the call without the members of its own trace.
func mirrorBaggage(baggage string) string {
	keep := []string{tracecontext.MirrorMember + "=1"}
	for member := range strings.SplitSeq(baggage, ",") {
		if member = strings.TrimSpace(member); member != "" && !strings.HasPrefix(member, "skerry-") {
			keep = append(keep, member)
		}
	}
	return strings.Join(keep, ",")
}

// rawArgs encodes the arguments for a copy, which may outlive the call.
func (s *serviceClient) rawArgs(ctx context.Context, call *Call) (*Raw, error) {
	if raw, ok := call.Args.(*Raw); ok {
		args := *raw
		args.whole = strings.Clone(args.whole)
		return &args, nil
	}
	w := flat.NewWriter(flat.Binary, s.c.cfg.Sizes.Frame)
	defer w.Free()
	if err := call.Args.Write(ctx, w); err != nil {
		return nil, err
	}
	return &Raw{encoding: flat.Binary, whole: string(w.Bytes())}, nil
}

// sendCopy makes the copy of a call: one attempt, beside limits, breaker, interceptors and fallbacks.
func (s *serviceClient) sendCopy(method string, args *Raw, seed uint64, mark, baggage string) {
	var trace participant.Trace
	s.mirrors.Begin(&trace, seed, mark)
	defer trace.End()
	ctx := WithBaggage(WithTrace(s.c.ctx, tracecontext.NextSpan(""), ""), baggage)
	rules := *s.rulesOf(method)
	o := *rules.o
	o.Retries, o.Wait = new(int), -1
	rules.o = &o
	call := &Call{Service: s.name, Method: method, Args: args, Result: &Raw{}, chain: 1, rules: &rules, Copy: true,
		began: time.Now()}
	_, err := s.attempts(trace.Context(ctx), call)
	var e *Error
	if errors.As(err, &e) && (e.Instance == "" || e.Code == RulesNeeded) { // no attempt has counted it
		s.tally(call).cell.RecordCopy(e.Code.Outcome(), time.Since(call.began))
	}
}

// inCopy reports whether the call is a copy of another one, or made by a copy.
func (c *Call) inCopy() bool { return c.Copy || c.mirrored }

// record counts an attempt, or a call without one.
func (c *Call) record(cell *health.Cell, o health.Outcome, took time.Duration) {
	if c.inCopy() {
		cell.RecordCopy(o, took)
		return
	}
	cell.Record(c.counted(o), took)
}

// counted is the outcome of an attempt as statistics, balancers and the breaker learn it.
func (c *Call) counted(o health.Outcome) health.Outcome {
	switch {
	case c.inCopy():
		return health.Mirrored
	case c.delayed && o.Failed(): // the callee has had less time than it should have
		return health.Injected
	}
	return o
}
