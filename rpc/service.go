package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// Service returns the thrift.TClient of a service, for the generated NewXClient. It is safe for
// concurrent use, though a generated client is not (see the package comment). Breaker, limits and
// retry budget belong to the returned value: make one for each service and keep it.
func (c *Client) Service(name string, o ServiceOptions) (thrift.TClient, error) {
	if err := o.validate(name); err != nil {
		return nil, err
	}
	s := &serviceClient{
		c: c, name: name, o: o, framework: strings.HasPrefix(name, internalPrefix),
		chain:   slices.Concat(c.cfg.Interceptors, o.Interceptors),
		limiter: newLimiter(name, o.Limits),
	}
	s.obeyOwn(newBreaker(o.Breaker))
	if c.cfg.Rollout != nil && !s.framework {
		s.origin = c.cfg.Rollout.Origin(c.cfg.Caller, "")
		c.cfg.Rollout.MayCall(name)
		if c.cfg.Policy != nil {
			s.mirrors = c.cfg.Rollout.Origin("copies of calls of "+name, "")
		}
	}
	return s, nil
}

// At returns the thrift.TClient of a service at one endpoint, on the client's connections to it. It
// is for calls to that process alone: without retries, breaker, interceptors, rollout token and policy.
func (c *Client) At(service string, e *Endpoint) thrift.TClient {
	s := &serviceClient{
		c:         c,
		name:      service,
		at:        static{e},
		o:         ServiceOptions{Retries: new(int), Breaker: Breaker{Off: true}},
		framework: strings.HasPrefix(service, internalPrefix),
	}
	s.obeyOwn(nil)
	return s
}

func (s *serviceClient) picker() Picker {
	if s.at != nil {
		return s.at
	}
	return s.c.cfg.Resolver.Resolve(s.name)
}

// serviceClient calls one service.
type serviceClient struct {
	c       *Client
	name    string
	o       ServiceOptions
	chain   []ClientInterceptor
	limiter *limiter // of methods; see callRules.gate for the service's
	budget  retryBudget
	origin  *participant.Origin // of calls outside any trace; nil: no tokens
	mirrors *participant.Origin // of copies of calls; nil: there are none
	at      Picker              // replaces the resolver's
	cells   cells               // statistics of calls that were refused before an instance was chosen

	rules     serviceRules
	framework bool                       // one of the framework's own services
	shape     atomic.Pointer[flat.Shape] // of the latest reply
}

// Call implements thrift.TClient.
func (s *serviceClient) Call(
	ctx context.Context,
	method string,
	args, result thrift.TStruct,
) (thrift.ResponseMeta, error) {
	call := calls.Get().(*Call)
	call.Service, call.Method, call.HashKey = s.name, method, hashKeyFrom(ctx)
	call.OneWay, call.Args, call.Result, call.chain = result == nil, args, result, 1
	call.rules = s.rulesOf(method)
	if len(s.chain) > 0 {
		err := s.intercept(ctx, call, s.chain)
		if err != nil && call.began.IsZero() { // an interceptor has refused the call
			s.tally(call).cell.Record(refusedOutcome(err), 0)
		}
		return call.meta, err
	}
	err := s.govern(ctx, call)
	meta := call.meta
	if err == nil && s.o.Fallback == nil && !call.replaced && call.unshared() {
		call.recycle()
	}
	return meta, err
}

// intercept runs the interceptors from the first to the last, then the call.
func (s *serviceClient) intercept(ctx context.Context, call *Call, chain []ClientInterceptor) error {
	if len(chain) == 0 {
		return s.govern(ctx, call)
	}
	return chain[0](ctx, call, func(ctx context.Context) error { return s.intercept(ctx, call, chain[1:]) })
}

// refusedOutcome is the outcome of a call without an attempt.
func refusedOutcome(err error) health.Outcome {
	var e *Error
	if errors.As(err, &e) {
		return e.Code.Outcome()
	}
	return health.Rejected
}

// govern applies limits, breaker and fallback to the attempts.
func (s *serviceClient) govern(ctx context.Context, call *Call) error {
	call.began, call.ended = time.Now(), time.Time{}
	call.delayed, call.injected, call.replaced, call.fault = false, false, false, nil
	call.ownTrace, call.waited = "", 0
	if call.rules.matched && s.o.Fallback == nil && s.standIn(ctx, call, alwaysCode) == nil {
		s.remember(ctx, call, recentStandIn)
		return nil
	}
	err := s.admit(ctx, call, call.began.Sub(s.c.start))
	s.remember(ctx, call, recentOutcome(err))
	if err == nil {
		return nil
	}
	if s.o.Fallback == nil && call.rules.matched {
		switch because := s.standIn(ctx, call, fallbackCode(CodeOf(err))); because {
		case nil:
			return nil
		case errNoFallback:
		default:
			err = fmt.Errorf("%w; the site's policy has a reply for it, which does not fit: %w", err, because)
		}
	}
	var e *Error
	if errors.As(err, &e) && (e.Instance == "" || e.Code == RulesNeeded) { // no attempt has counted it
		outcome := e.Code.Outcome()
		if call.injected {
			outcome = health.Injected
		}
		took := time.Since(call.began)
		call.record(s.tally(call).cell, outcome, took)
		s.keepUnsent(ctx, call, e.Code, took)
	}
	if call.mirrored {
		shadowed(ctx, err)
	}
	if s.o.Fallback == nil || CodeOf(err) == Canceled {
		return err
	}
	return s.o.Fallback(ctx, call, err)
}

// tally counts calls for which no instance was chosen.
func (s *serviceClient) tally(call *Call) tally {
	key := health.Key{Side: health.Client, Service: s.name, Method: call.Method, Version: call.Version}
	tried := s.recentKey(call, call.Version)
	if key.Version != "" { // the rules named a version that no instance offers
		return tally{s.c.cfg.Health.Cell(key), s.c.cfg.Recent.Kind(tried)}
	}
	return s.cells.get(&s.c.cfg, call.Method, func() (health.Key, recent.Key) { return key, tried })
}

func (s *serviceClient) admit(ctx context.Context, call *Call, now time.Duration) error {
	if err := s.shadow(ctx, call); err != nil {
		return err
	}
	permit, err := s.limiter.through(call.rules.gate, call.Method, int64(now))
	if err != nil {
		return s.refused(call, LimitExceeded, err)
	}
	defer permit.done()
	ok, trial := call.rules.breaker.allow(int64(now))
	if !ok {
		return s.refused(call, BreakerOpen, errBreakerOpen)
	}
	s.budget.begin()
	defer s.budget.end()
	outcome, err := s.attempts(ctx, call)
	if call.ended.IsZero() {
		call.ended = time.Now()
	}
	switch call.rules.breaker.record(int64(call.ended.Sub(s.c.start)), outcome, trial) {
	case opened:
		s.c.cfg.Logger.Warn(
			"rpc: breaker opened: "+errBreakerOpen.Error(),
			"service", s.name, "method", call.Method, "err", err,
		)
	case closed:
		s.c.cfg.Logger.Info("rpc: breaker closed", "service", s.name)
	}
	return err
}

var errBreakerOpen = errors.New("most of the last calls failed; one a second is let through to find out")

func (s *serviceClient) refused(call *Call, code Code, err error) error {
	return &Error{Code: code, Executed: NotExecuted, Service: s.name, Method: call.Method, Err: err}
}

// attempts makes up to 1 + retries attempts within the call's deadline.
func (s *serviceClient) attempts(parent context.Context, call *Call) (health.Outcome, error) {
	info := CallInfoFrom(parent)
	if info != nil {
		call.chain = max(1, info.Attempt)
	}
	ctx := &call.ctx
	ctx.base, ctx.deadline = parent, call.began.Add(call.rules.o.timeout())
	ctx.deadline, _ = ctx.Deadline()
	defer ctx.end()
	if err := s.joinTrace(ctx, call, info); err != nil {
		return codeOutcome(err), err
	}
	defer call.routing.endTrace()
	defer call.free()
	if err := s.disturb(ctx, call); err != nil {
		if call.injected {
			return health.Injected, err
		}
		return codeOutcome(err), err
	}
	retried := false
	defer func() {
		if retried {
			s.budget.release()
		}
	}()
	var last error
	var lastOutcome health.Outcome
	for call.Attempt = 1; ; call.Attempt++ {
		a := attempt{s: s, ctx: ctx, call: call, info: info}
		outcome, err := a.run()
		if err == nil {
			return outcome, nil
		}
		var mended bool
		if mended, err = a.recover(err); mended {
			call.Attempt-- // the next one does not count as a retry, because nothing was executed
			continue
		}
		if code := CodeOf(err); last != nil && (code == NoInstance || code == VersionUnavailable) {
			return lastOutcome, withWait(last, err) // no other instance can be tried
		}
		if !s.again(ctx, call, err, &retried) {
			return outcome, err
		}
		lastOutcome, last = outcome, err
	}
}

// goneMost bounds the attempts of a call that meets only vanished instances. A service that was
// killed many times may have as many vanished instances in the lists.
const goneMost = 64

// again decides whether another attempt follows a failed one. A call that never reached a handler
// because an instance is gone or leaving is retried for free. Any other retry is load, and needs
// the retry budget. In a chain of calls only the first caller makes such a retry. A later caller
// makes one only after a broken connection, because its own caller can't tell that from a failure of
// the handler.
func (s *serviceClient) again(ctx *callContext, call *Call, err error, retried *bool) bool {
	var e *Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		return false
	}
	call.gone = e.Instance != "" && (e.Code == Unreachable || e.Code == Draining || e.Code == ConnectionLost)
	free := call.gone && e.Executed == NotExecuted && call.Attempt < goneMost
	if n := call.rules.o.retries(); call.Attempt > n && (!free || n == 0) {
		return false
	}
	if *retried {
		s.budget.release()
		*retried = false
	}
	may := e.Code.traits().again
	call.elsewhere = e.Instance != "" && may == elsewhere
	switch {
	case call.elsewhere:
		return true
	case e.Code == ConnectionLost && e.Executed == NotExecuted:
		return true
	case may != budgeted && !call.cut:
		return false
	case e.Executed != NotExecuted && !call.rules.o.idempotent(call.Method):
		return false
	case call.chain > 1 && e.Code != ConnectionLost:
		return false
	case call.chain <= 1 && e.Code == ConnectionLost: // the instance seems gone: others get its calls
	case !s.budget.acquire():
		return false
	default:
		*retried = true
	}
	return run.Sleep(ctx, retryPause(call.Attempt)) == nil
}

// withWait joins the two errors of a call that found no other instance: last is that of the latest
// attempt, and the text of none says how long the call has waited.
func withWait(last, none error) error {
	var e, w *Error
	if !errors.As(last, &e) || !errors.As(none, &w) || w.Err == nil {
		return last
	}
	both := *e
	both.Err = fmt.Errorf("%w; %w", e.Err, w.Err)
	return &both
}
