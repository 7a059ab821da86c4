package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

var headers = sync.Pool{New: func() any { return new(theader.Header) }}

// attempt is one try of a call at one endpoint.
type attempt struct {
	s    *serviceClient
	ctx  *callContext
	call *Call
	info *CallInfo
	ep   *Endpoint

	began time.Time

	theirs   string // generation that the callee has applied, when it refused by the rules
	theirLog string // hash of that generation's entry
}

// run asks the rules for a version, picks an endpoint, calls it and reports the outcome.
func (a *attempt) run() (health.Outcome, error) {
	var outcome health.Outcome
	err := a.route()
	if err == nil {
		a.place()
		outcome, err = a.try()
	} else {
		outcome = codeOutcome(err)
	}
	a.returned(err)
	return outcome, err
}

func (a *attempt) try() (health.Outcome, error) {
	picker := a.s.picker()
	if err := a.pick(picker); err != nil {
		return codeOutcome(err), err
	}
	a.began = a.call.began // the first attempt begins with its call; reading the clock again costs time
	if a.call.delayed || !a.call.unshared() {
		a.began = time.Now()
	}
	a.ep.pending.Add(1)
	peer := a.s.c.pool(a.ep)
	ended, err := a.send(peer)
	outcome := a.call.counted(ended)
	a.ep.pending.Add(-1)
	a.call.ended = time.Now()
	took := a.call.ended.Sub(a.began)
	picker.Report(a.ep, outcome, took)
	if err != nil && CodeOf(err) == RulesNeeded {
		return outcome, err // not counted here: the call may be made again, else govern counts it
	}
	at := peer.cells.get(&a.s.c.cfg, a.call.Method, func() (health.Key, recent.Key) {
		return health.Key{
			Side:    health.Client,
			Service: a.s.name,
			Method:  a.call.Method,
			Peer:    a.ep.Addr,
			Version: a.ep.Version,
		}, a.s.recentKey(a.call, a.ep.Version)
	})
	a.call.record(at.cell, ended, took)
	a.call.kind = at.kind
	a.keepSpan(ended, err, took)
	return outcome, err
}

// pick chooses an endpoint that was not tried yet, or a tried one when none is left.
func (a *attempt) pick(p Picker) error {
	if a.ep = a.call.routing.next; a.ep != nil {
		a.call.routing.next = nil
		a.call.tried = append(a.call.tried, a.ep)
		return nil
	}
	if a.call.tried == nil {
		a.call.tried = a.call.first[:0]
	}
	a.call.TryAgain = false
	ep, err := p.Pick(a.ctx, a.call)
	if err == nil {
		a.ep = ep
		a.call.tried = append(a.call.tried, ep)
		return nil
	}
	if errors.Is(err, ErrNoInstance) && len(a.call.tried) > 0 && !a.call.elsewhere {
		a.call.TryAgain = true
		ep, err = p.Pick(a.ctx, a.call)
	}
	kept := errors.Is(err, ErrNoInstance) && a.keptAway(p)
	if errors.Is(err, ErrNoInstance) && (a.call.Version == "" || kept) && a.mayWait() {
		ep, err = a.wait(p)
	}
	switch {
	case err == nil:
		a.ep = ep
		a.call.tried = append(a.call.tried, ep)
		return nil
	case errors.Is(err, context.Canceled) && !a.left():
		return a.fail(Canceled, NotExecuted, err)
	case errors.Is(err, ErrNoInstance) && a.call.Version != "" && !kept:
		return a.fail(VersionUnavailable, NotExecuted, err)
	case errors.Is(err, ErrNoInstance):
		return a.fail(NoInstance, NotExecuted, err)
	}
	return a.fail(giveUpCode(a.ctx.Err(), NoInstance), NotExecuted, err)
}

// mayWait reports whether the call may wait for an instance, because there is none or the tried
// ones have gone.
func (a *attempt) mayWait() bool {
	return a.call.rules.o.wait() > 0 && (len(a.call.tried) == 0 || a.call.gone)
}

// wait picks an instance, and waits for one as long as ServiceOptions.Wait allows.
func (a *attempt) wait(p Picker) (*Endpoint, error) {
	ctx, cancel := a.waiting()
	defer cancel()
	return a.next(ctx, p)
}

// next picks an instance, and waits for one until ctx ends. Before an instance is tried again it makes a pause: a proxy
// answers for its ended program until the registry knows.
func (a *attempt) next(ctx context.Context, p Picker) (*Endpoint, error) {
	begun := time.Now()
	a.call.Wait = true
	defer func() { a.call.Wait, a.call.waited = false, a.call.waited+time.Since(begun) }()
	ep, err := p.Pick(ctx, a.call)
	if err != nil || !a.call.Tried(ep) {
		return ep, err
	}
	if err := run.Sleep(ctx, retryPause(a.call.times(ep))); err != nil {
		return nil, fmt.Errorf("%w: none but those that the call has tried: %w", ErrNoInstance, err)
	}
	return p.Pick(ctx, a.call)
}

// waiting returns the context for that wait.
func (a *attempt) waiting() (context.Context, context.CancelFunc) {
	return a.tied(context.WithDeadline(a.ctx, a.call.began.Add(a.call.rules.o.wait())))
}

type whileKey struct{}

// WaitWhile limits the wait for an instance: calls made with the returned context wait only until
// while ends. It is for calls on behalf of a client that may leave. A call that has been sent goes
// on.
func WaitWhile(ctx, while context.Context) context.Context {
	return context.WithValue(ctx, whileKey{}, while)
}

// tied makes ctx also end when the context of WaitWhile ends.
func (a *attempt) tied(ctx context.Context, cancel context.CancelFunc) (context.Context, context.CancelFunc) {
	while, ok := a.ctx.Value(whileKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(while, cancel)
	return ctx, func() { stop(); cancel() }
}

// left reports whether WaitWhile has ended the wait, though the call's own context goes on.
func (a *attempt) left() bool {
	while, ok := a.ctx.Value(whileKey{}).(context.Context)
	return ok && while.Err() != nil && a.ctx.Err() == nil
}

// giveUpCode returns the code of a context's end, or otherwise for another error.
func giveUpCode(err error, otherwise Code) Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errTimedOut):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return otherwise
}

func codeOutcome(err error) health.Outcome { return CodeOf(err).Outcome() }

func (a *attempt) fail(code Code, executed Executed, err error) *Error {
	e := &Error{
		Code:     code,
		Executed: executed,
		Service:  a.s.name,
		Method:   a.call.Method,
		Attempt:  a.call.Attempt,
		Err:      err,
	}
	if a.ep != nil {
		e.Instance = a.ep.Addr
	}
	return e
}

// send makes the call on a connection to the peer.
func (a *attempt) send(p *connPool) (health.Outcome, error) {
	a.call.cut, a.call.traceAt = false, 0
	if o, ok := a.call.Result.(*opening); ok {
		return a.sendOpening(p, o)
	}
	m := outgoing{oneWay: a.call.OneWay, name: a.call.Method}
	if err := a.writeBody(p, &m); err != nil {
		return codeOutcome(err), err
	}
	patience := a.patience()
	l, err := p.acquire(a.ctx, patience)
	if err != nil {
		code := Unreachable
		switch {
		case errors.Is(err, errPoolFull):
			code = Overloaded
		case errors.Is(err, errPoolEnded):
			code = ConnectionLost
		}
		err = a.fail(giveUpCode(a.ctx.Err(), code), NotExecuted, err)
		return codeOutcome(err), err
	}
	defer p.release(l)
	deadline := a.ctx.deadline
	if patience > 0 && a.call.rules.o.idempotent(a.call.Method) {
		m.patience = patience
		deadline = a.cutoff()
	}
	if err := a.writeHead(l, deadline, &m); err != nil {
		return codeOutcome(err), err
	}
	frame, sent, err := l.call(a.ctx.base, deadline, &m)
	if err != nil {
		a.call.cut = errors.Is(err, errTimedOut) && deadline.Before(a.ctx.deadline)
		err = a.broken(err, sent)
		return codeOutcome(err), err
	}
	outcome, err := a.read(l, &m, frame)
	// The callee knows the attempt's deadline, and may answer by it a moment before this side gives up.
	a.call.cut = CodeOf(err) == DeadlineExceeded && deadline.Before(a.ctx.deadline)
	return outcome, err
}

// writeBody gives m the Thrift message of the call. An error is an *Error.
func (a *attempt) writeBody(p *connPool, m *outgoing) error {
	if !p.dialect.shared { // other peers learn the service by a header
		m.name = a.call.calledAs(cmp.Or(p.ep.Prefix, a.call.rules.o.Prefix))
	}
	args := a.call.argsFor(p.dialect.encoding, m.name)
	if err := a.encode(p.dialect.encoding, m.name, args); err != nil {
		return a.fail(TooLarge, NotExecuted, fmt.Errorf("write arguments: %w", err))
	}
	m.body = (*args).Bytes()
	if p.dialect.encoding == flat.Binary {
		m.seqAt = seqOffset(m.name)
	}
	return nil
}

// writeHead gives m the header of its frame, if the peer takes one, and the call behind a one-way
// call. An error is an *Error.
func (a *attempt) writeHead(l *clientConn, deadline time.Time, m *outgoing) error {
	if l.dialect.header {
		var flags uint16
		if l.dialect.shared {
			flags = theader.OutOfOrder
		}
		left := time.Until(deadline) // the callee counts from the arrival of the frame
		head, err := appendCallHead(a.call.head[:0], flags, a.call, a.info, a.s.c.cfg.Caller, left, l.in.Limits)
		if err != nil {
			return a.fail(TooLarge, NotExecuted, fmt.Errorf("write header: %w", err))
		}
		a.call.head, m.head = head, head
	}
	return a.writeBehind(l.dialect, m)
}

// patience returns how long the attempt may wait for a silent instance before another one is tried;
// 0 = until the call's deadline.
func (a *attempt) patience() time.Duration {
	c := a.call
	if !c.Others || c.Attempt > a.call.rules.o.retries() || c.chain > 1 {
		return 0
	}
	if half := a.ctx.deadline.Sub(a.began) / 2; half >= leastPatience {
		return half
	}
	return 0
}

// cutoff returns when the attempt must end so that another can follow, even if the instance gives
// signs of life.
func (a *attempt) cutoff() time.Time {
	if a.call.rules.o.Attempt > 0 {
		if at := time.Now().Add(a.call.rules.o.Attempt); at.Before(a.ctx.deadline) {
			return at
		}
	}
	return a.ctx.deadline
}

// encode serialises the call's arguments once, with sequence number 1. A shared connection replaces
// the number.
func (a *attempt) encode(encoding flat.Protocol, name string, into *flat.Writer) error {
	if *into != nil {
		return nil
	}
	w := flat.NewWriter(encoding, a.s.c.cfg.Sizes.Frame)
	*into = w
	kind := thrift.CALL
	if a.call.OneWay {
		kind = thrift.ONEWAY
	}
	ctx := a.ctx.base
	err := w.WriteMessageBegin(ctx, name, kind, 1)
	if err == nil {
		err = a.call.Args.Write(ctx, w)
	}
	if err == nil {
		err = w.WriteMessageEnd(ctx)
	}
	return err
}

// broken turns the error of a connection into the *Error of the call.
func (a *attempt) broken(err error, sent bool) error {
	executed := MaybeExecuted
	if !sent {
		executed = NotExecuted
	}
	switch {
	case errors.Is(err, errBye):
		return a.fail(Draining, NotExecuted, err)
	case errors.Is(err, theader.ErrTooLarge) && !sent:
		return a.fail(TooLarge, NotExecuted, err)
	case errors.Is(err, errPendingFull), errors.Is(err, transport.ErrWriteQueue):
		return a.fail(Overloaded, NotExecuted, err)
	case errors.Is(err, errTimedOut):
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	case errors.Is(err, theader.ErrTooLarge), errors.Is(err, theader.ErrMalformed):
		return a.fail(BadMessage, executed, err)
	}
	return a.fail(giveUpCode(err, ConnectionLost), executed, err)
}
