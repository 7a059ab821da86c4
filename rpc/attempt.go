package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
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

// run picks an endpoint, calls it and reports how that went. The arguments
// are serialised into the writer of the endpoint's encoding when an earlier
// attempt has not done so.
func (a *attempt) run() (health.Outcome, error) {
	var outcome health.Outcome
	err := a.route()
	if err == nil {
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
	a.began = a.call.began // the first has hardly cost any time until now
	if !a.call.alone() {
		a.began = time.Now()
	}
	a.ep.pending.Add(1)
	peer := a.s.c.peer(a.ep)
	args := &a.call.binary
	if peer.dialect.encoding == flat.Compact {
		args = &a.call.compact
	}
	outcome, err := a.send(peer, args)
	a.ep.pending.Add(-1)
	a.call.ended = time.Now()
	took := a.call.ended.Sub(a.began)
	picker.Report(a.ep, outcome, took)
	if err != nil && CodeOf(err) == RulesNeeded {
		return outcome, err // a question, not a call yet; see govern
	}
	peer.cells.get(a.s.c.cfg.Health, a.call.Method, func() health.Key {
		return health.Key{Side: health.Client, Service: a.s.name, Method: a.call.Method, Peer: a.ep.Addr, Version: a.ep.Version}
	}).Record(outcome, took)
	return outcome, err
}

// pick chooses an endpoint that was not tried yet; when there is none left,
// one that was.
func (a *attempt) pick(p Picker) error {
	if a.ep = a.call.passage.next; a.ep != nil {
		a.call.passage.next = nil
		a.call.tried = append(a.call.tried, a.ep)
		return nil
	}
	if a.call.tried == nil {
		a.call.tried = a.call.first[:0]
	}
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
	switch {
	case err == nil:
		a.ep = ep
		a.call.tried = append(a.call.tried, ep)
		return nil
	case errors.Is(err, ErrNoInstance) && a.call.Version != "":
		return a.fail(VersionUnavailable, NotExecuted, err)
	case errors.Is(err, ErrNoInstance):
		return a.fail(NoInstance, NotExecuted, err)
	}
	return a.fail(giveUpCode(a.ctx.Err(), NoInstance), NotExecuted, err)
}

// giveUpCode tells a context's end from what else went wrong.
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
	e := &Error{Code: code, Executed: executed, Service: a.s.name, Method: a.call.Method, Attempt: a.call.Attempt, Err: err}
	if a.ep != nil {
		e.Instance = a.ep.Addr
	}
	return e
}

// send makes the call on a connection to the peer.
func (a *attempt) send(p *peer, args *flat.Writer) (health.Outcome, error) {
	m := outgoing{oneWay: a.call.OneWay}
	if err := a.encode(p.dialect.encoding, args); err != nil {
		err = a.fail(TooLarge, NotExecuted, fmt.Errorf("write arguments: %w", err))
		return codeOutcome(err), err
	}
	m.body = (*args).Bytes()
	if p.dialect.encoding == flat.Binary {
		m.seqAt = seqOffset(a.call.Method)
	}
	l, err := p.acquire(a.ctx)
	if err != nil {
		err = a.fail(giveUpCode(a.ctx.Err(), Unreachable), NotExecuted, err)
		return codeOutcome(err), err
	}
	defer p.release(l)
	if p.dialect.header {
		var flags uint16
		if p.dialect.shared {
			flags = theader.OutOfOrder
		}
		left := time.Until(a.ctx.deadline) // now: the callee counts from when it comes
		a.call.head, err = appendCallHead(a.call.head[:0], flags, a.call, a.info, a.s.c.cfg.Caller, left, l.in.limits)
		if err != nil {
			err = a.fail(TooLarge, NotExecuted, fmt.Errorf("write header: %w", err))
			return codeOutcome(err), err
		}
		m.head = a.call.head
	}
	frame, sent, err := l.call(a.ctx.base, a.ctx.deadline, &m)
	if err != nil {
		err = a.broken(err, sent)
		return codeOutcome(err), err
	}
	return a.read(l, &m, frame)
}

// encode serialises the call's arguments once. The sequence number that is
// written here is 1; a shared connection puts its own in its place.
func (a *attempt) encode(encoding flat.Protocol, into *flat.Writer) error {
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
	err := w.WriteMessageBegin(ctx, a.call.Method, kind, 1)
	if err == nil {
		err = a.call.Args.Write(ctx, w)
	}
	if err == nil {
		err = w.WriteMessageEnd(ctx)
	}
	return err
}

// broken turns what a link says into what the caller can do.
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
	case errors.Is(err, errSlotsFull), errors.Is(err, errWriteQueue):
		return a.fail(Overloaded, NotExecuted, err)
	case errors.Is(err, errTimedOut):
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	case errors.Is(err, theader.ErrTooLarge), errors.Is(err, theader.ErrMalformed):
		return a.fail(BadMessage, executed, err)
	}
	return a.fail(giveUpCode(err, ConnectionLost), executed, err)
}
