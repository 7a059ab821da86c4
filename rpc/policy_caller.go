package rpc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// callRules are what holds for the calls of a method. They are immutable, but for the counts of breaker
// and gate.
type callRules struct {
	o       *ServiceOptions // with the values of the site's policy
	breaker *breaker        // of the service; of the method, when the policy gives it values of its own
	gate    *callGate       // likewise; nil: no limit
	rules   *policy.Rules   // nil: the policy says nothing
	matched bool            // calls are matched with items of the policy
}

// rulesInForce are the rules for the calls of a service by one table of the policy.
type rulesInForce struct {
	table   *policy.Table
	rest    *callRules // of methods that the policy does not name
	methods map[string]*callRules
}

func (f *rulesInForce) of(method string) *callRules {
	if f.methods != nil {
		if r := f.methods[method]; r != nil {
			return r
		}
	}
	return f.rest
}

// serviceRules hold the rules for the calls of one service. They are found again when the policy has
// changed, and keep the state of what stays the same.
type serviceRules struct {
	own     *callRules // without a policy
	inForce atomic.Pointer[rulesInForce]

	mu    sync.Mutex
	gates map[string]*callGate // of the service (""), and of methods with limits of the policy
}

// obeyOwn sets the rules without a policy.
func (s *serviceClient) obeyOwn(b *breaker) {
	own := &callRules{o: &s.o, breaker: b}
	s.rules.gates = map[string]*callGate{}
	if s.limiter != nil && s.limiter.service != nil {
		own.gate = s.limiter.service
		s.rules.gates[""] = own.gate
	}
	s.rules.own = own
	s.rules.inForce.Store(&rulesInForce{rest: own})
}

// rulesOf returns what holds for a call of a method that begins now.
func (s *serviceClient) rulesOf(method string) *callRules {
	if s.c.cfg.Policy == nil || s.framework || s.at != nil {
		return s.rules.own
	}
	f := s.rules.inForce.Load()
	if f.table != s.c.cfg.Policy() {
		f = s.renewRules()
	}
	return f.of(method)
}

// renewRules finds the rules by the policy in force.
func (s *serviceClient) renewRules() *rulesInForce {
	r := &s.rules
	r.mu.Lock()
	defer r.mu.Unlock()
	old, table := r.inForce.Load(), s.c.cfg.Policy()
	if old.table == table {
		return old
	}
	next := &rulesInForce{table: table, methods: map[string]*callRules{}}
	table.Each(s.name, func(method string, rules *policy.Rules) {
		if method == "" {
			next.rest = s.applied(old, r.own, method, rules)
		} else {
			next.methods[method] = s.applied(old, next.rest, method, rules)
		}
	})
	if next.rest == nil { // no policy any more
		next.rest = s.applied(old, r.own, "", nil)
	}
	for method := range r.gates {
		if method != "" && next.methods[method] == nil {
			delete(r.gates, method)
		}
	}
	r.inForce.Store(next)
	return next
}

// applied returns the process's own options with the values of the policy. Breaker and gate are those of
// above, the rules that stand over these, while their values are the same.
func (s *serviceClient) applied(old *rulesInForce, above *callRules, method string, rules *policy.Rules) *callRules {
	o := s.o
	if rules != nil {
		o.apply(&rules.Settings)
	}
	next := &callRules{o: &o, rules: rules, matched: rules.ForCallers()}
	switch before := old.of(method); {
	case o.Breaker == above.o.Breaker:
		next.breaker = above.breaker
	case o.Breaker == before.o.Breaker && (method == "" || old.methods[method] != nil):
		next.breaker = before.breaker
	default:
		next.breaker = newBreaker(o.Breaker)
	}
	next.gate = s.gateOf(method, o.Limits.Limit, above)
	return next
}

// gateOf returns the gate of a limit. That of the service stays the same, so that pending calls count
// under a new limit.
func (s *serviceClient) gateOf(method string, l Limit, above *callRules) *callGate {
	gates, what := s.rules.gates, s.name
	if method != "" {
		if l == above.o.Limits.Limit {
			return above.gate
		}
		what += "." + method
	}
	g := gates[method]
	switch {
	case g != nil:
		g.set(what, l)
	case l.bounds():
		g = newCallGate(what, l)
		gates[method] = g
	}
	return g
}

// apply sets the options that the policy has a value for.
func (o *ServiceOptions) apply(p *policy.Settings) {
	set(&o.Timeout, p.Timeout)
	set(&o.Wait, p.Wait)
	set(&o.Attempt, p.AttemptTimeout)
	if p.Retries != nil {
		o.Retries = p.Retries
	}
	if p.Idempotent != nil {
		o.Idempotent = p.Idempotent
	}
	set(&o.Limits.Pending, p.MaxPending)
	if p.MaxRate != nil {
		o.Limits.Rate = float64(*p.MaxRate)
	}
	set(&o.Breaker.Off, p.BreakerOff)
	set(&o.Breaker.Ratio, p.BreakerRatio)
	set(&o.Breaker.Calls, p.BreakerCalls)
	set(&o.Breaker.Window, p.BreakerWindow)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// request returns the facts of a call for the conditions of the policy.
func (c *Client) request(ctx context.Context, call *Call) policy.Request {
	q := c.cfg.Self
	q.Method, q.Caller, q.Version = call.Method, c.cfg.Caller, call.Version
	info := CallInfoFrom(ctx)
	if info != nil {
		q.Baggage = info.Baggage
	}
	trace := call.routing.trace
	if trace == nil {
		trace = participant.TraceFrom(ctx)
	}
	if trace != nil {
		token := trace.Token()
		q.Mark, q.Seed, q.Seeded = token.Mark, token.Seed, true
		return q
	}
	if q.Baggage != "" {
		q.Mark = tracecontext.Member(q.Baggage, tracecontext.MarkMember)
	}
	q.Seed, q.Seeded = knownSeed(info)
	return q
}

// Route finds where the site's policy sends the call, among the instances of its version, before it is
// given to a Picker. The client's own calls do this themselves. Route is for callers that use another
// protocol with the endpoints of a Picker; ctx is that of the call, with its trace.
func (c *Client) Route(ctx context.Context, call *Call) {
	call.Route = nil
	if c.cfg.Policy == nil {
		return
	}
	if rules := c.cfg.Policy().Rules(call.Service, call.Method); rules.ForCallers() {
		q := c.request(ctx, call)
		call.Route = rules.Route(&q)
	}
}

// place finds where the site's policy sends the attempt, among the instances of its version.
func (a *attempt) place() {
	if !a.call.rules.matched {
		return
	}
	a.call.facts.Version = a.call.Version
	a.call.Route = a.call.rules.rules.Route(&a.call.facts)
}

// keptAway reports whether the call's version has instances, and the policy's route keeps the call from
// them.
func (a *attempt) keptAway(p Picker) bool {
	c := a.call
	if c.Route == nil || c.Route.Else != "none" {
		return false
	}
	route, again := c.Route, c.TryAgain
	c.Route, c.TryAgain = nil, true
	_, err := p.Pick(a.ctx, c)
	c.Route, c.TryAgain = route, again
	return err == nil
}

// injected says that an error is a fault of the policy.
func injected(item *policy.Item) error {
	return fmt.Errorf("injected by the site's policy (%s)", item.Key)
}

// faults are the failures that a policy may cause, as the caller sees them. No handler has run.
var faults = map[string]struct {
	code     Code
	executed Executed
}{
	"unavailable":     {ConnectionLost, MaybeExecuted},
	"unreachable":     {Unreachable, NotExecuted},
	"connection_lost": {ConnectionLost, MaybeExecuted},
	"timeout":         {DeadlineExceeded, MaybeExecuted},
	"overloaded":      {Overloaded, NotExecuted},
	"handler_failed":  {HandlerFailed, WasExecuted},
}

// disturb finds the facts of the call for the site's policy, and delays the call, or has it fail, by a
// fault of it.
func (s *serviceClient) disturb(ctx *callContext, call *Call) error {
	if !call.rules.matched {
		return nil
	}
	call.facts = s.c.request(ctx.base, call)
	q := &call.facts
	if p := &call.routing; p.trace != nil { // the first attempt will ask the same
		q.Version, _, _, _ = s.c.route(s.name, p.trace.Token())
	}
	if call.Copy {
		return nil
	}
	s.mirror(ctx.base, call)
	item := call.rules.rules.Fault(q)
	if item == nil {
		return nil
	}
	call.fault = item
	if item.Delay > 0 {
		call.delayed = true
		if err := run.Sleep(ctx, item.Delay); err != nil {
			code := giveUpCode(err, Canceled)
			call.injected = code == DeadlineExceeded
			return s.refused(call, code, fmt.Errorf("%w: %w", injected(item), err))
		}
	}
	fault, known := faults[item.Error]
	if !known {
		return nil
	}
	call.injected = true
	err := injected(item)
	if fault.code == DeadlineExceeded {
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	}
	return &Error{Code: fault.code, Executed: fault.executed, Service: s.name, Method: call.Method, Err: err}
}

// alwaysCode stands for calls that are answered before they are sent.
const alwaysCode = "always"

// fallbackCode is a code in the words of a policy.
func fallbackCode(c Code) string {
	if c == DeadlineExceeded {
		return "timeout"
	}
	return c.String()
}

// errNoFallback says that the policy has no reply for a call.
var errNoFallback = errors.New("no fallback")

// standIn answers the call with the reply that the policy has for its failure. Any other error than
// errNoFallback says why that reply can't be used.
func (s *serviceClient) standIn(ctx context.Context, call *Call, code string) error {
	if call.Result == nil || code == Canceled.String() {
		return errNoFallback
	}
	q := s.c.request(ctx, call)
	if e := call.Endpoint(); e != nil {
		q.Host, _, _ = strings.Cut(cmp.Or(e.Owner, e.Announcer), "/") // host/pid/epoch
	}
	item := call.rules.rules.Fallback(&q, code)
	if item == nil {
		return errNoFallback
	}
	if err := fill(ctx, call, item); err != nil {
		return fmt.Errorf("%s: %w", item.Key, err)
	}
	call.replaced = true
	s.keepFallback(ctx, call, item)
	s.tally(call).cell.Record(health.Fallback, time.Since(call.began))
	return nil
}

// fill writes the reply of an item into the call's result: from Thrift, which is the whole result struct
// by the binary protocol, else from JSON by the generated struct.
func fill(ctx context.Context, call *Call, item *policy.Item) error {
	if len(item.Thrift) > 0 {
		in := flat.NewReader(flat.Binary, string(item.Thrift), flat.Memory{})
		defer in.Free()
		return call.Result.Read(ctx, in)
	}
	result := reflect.ValueOf(call.Result)
	if !generated(result) {
		return errors.New("the policy was applied without the service's .thrift file (--idl), which programs " +
			"without generated code need")
	}
	success := result.Elem().FieldByName("Success")
	if !success.IsValid() {
		return nil // the method returns nothing
	}
	value := reflect.New(success.Type()) // apart, so that a reply that does not fit leaves nothing behind
	in := json.NewDecoder(bytes.NewReader(item.Reply))
	in.DisallowUnknownFields()
	if err := in.Decode(value.Interface()); err != nil {
		return fmt.Errorf("the reply is not of the method's type: %w", err)
	}
	success.Set(value.Elem())
	return nil
}

// generated reports whether a result is a struct of the stock compiler, of which every field is exported.
func generated(result reflect.Value) bool {
	if result.Kind() != reflect.Pointer || result.Elem().Kind() != reflect.Struct {
		return false
	}
	for i := range result.Elem().NumField() {
		if !result.Elem().Type().Field(i).IsExported() {
			return false
		}
	}
	return true
}
