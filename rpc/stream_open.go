package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// opening stands in the place of the result in a call that opens a stream. It tells the attempts of the call that
// they open one, and receives the stream.
type opening struct {
	mode   StreamMode
	reply  thrift.TStruct // the method's result struct, for the reply that ends the stream
	window int64          // what this end can take; 0 for a stream without items of the provider
	stream *clientStream  // once accepted
}

// opensStream reports whether the call opens a stream.
func (c *Call) opensStream() bool {
	_, ok := c.Result.(*opening)
	return ok
}

var errNotOurClient = errors.New("streams need a client of package rpc to a skerry server")

// Read is called by clients of other libraries only.
func (o *opening) Read(context.Context, thrift.TProtocol) error { return errNotOurClient }

// Write is never called.
func (o *opening) Write(context.Context, thrift.TProtocol) error { return errNotOurClient }

// openStream makes the call that opens a stream.
func openStream(
	ctx context.Context, tc thrift.TClient, method string, args thrift.TStruct, o *opening,
) (*clientStream, error) {
	if _, err := tc.Call(ctx, method, args, o); err != nil {
		return nil, err
	}
	if o.stream == nil { // the client is not of this package
		return nil, &Error{Code: Unsupported, Executed: MaybeExecuted, Method: method, Err: errNotOurClient}
	}
	o.stream.bind(ctx)
	return o.stream, nil
}

// sendOpening makes one attempt to open a stream.
func (a *attempt) sendOpening(p *connPool, o *opening) (health.Outcome, error) {
	fail := func(code Code, executed Executed, err error) (health.Outcome, error) {
		return code.Outcome(), a.fail(code, executed, err)
	}
	if p.bad == nil && !p.dialect.shared {
		err := fmt.Errorf("%s speaks %s, which has no streams", p.ep.Addr, p.ep.Protocol)
		return fail(Unsupported, NotExecuted, err)
	}
	if o.mode.down() {
		o.window = int64(a.s.c.streams.limits.Window)
	}
	m := outgoing{name: a.call.Method}
	if err := a.writeBody(p, &m); err != nil {
		return codeOutcome(err), err
	}
	l, err := p.acquireStreams(a.ctx, a.patience())
	if err != nil {
		return fail(giveUpCode(a.ctx.Err(), Unreachable), NotExecuted, err)
	}
	if !l.streaming.Load() {
		return fail(Unsupported, NotExecuted, fmt.Errorf("%s is a skerry without streams; update it", p.ep.Addr))
	}
	deadline, _ := a.ctx.base.Deadline() // of the whole stream; the call's own is for its acceptance
	if err := a.writeHead(l, deadline, &m); err != nil {
		return codeOutcome(err), err
	}
	slot, seq := l.pending.add(a.s.c.onClock(a.ctx.deadline))
	if slot == nil {
		return fail(Overloaded, NotExecuted, errPendingFull)
	}
	s := &clientStream{conn: l, slot: slot, service: a.s, ep: a.ep, mode: o.mode, reply: o.reply,
		done: make(chan struct{})}
	s.init(seq, a.call.Method, flat.Binary, nil, &a.s.c.streams, l.in.Limits)
	a.ep.pending.Add(1) // while it is open
	s.users.Store(2)
	defer s.leaveSlot()
	if !l.streams.add(l, s) {
		if !l.pending.claim(slot, seq) {
			<-slot.done
		}
		err := errClientClosed
		if ended := l.ended.Load(); ended != nil {
			err = *ended
		}
		s.abandon(err)
		return fail(ConnectionLost, NotExecuted, err)
	}
	l.wakeReader()
	a.s.c.sweeper.rouse()
	frame, sent, err := l.callOpening(a.ctx.base, s, &m)
	if err != nil {
		s.abandon(err)
		err = a.broken(err, sent)
		return codeOutcome(err), err
	}
	accepted, err := s.accept(frame)
	switch {
	case err != nil:
		s.abandon(err)
		return a.badReply(l, err)
	case !accepted: // a refusal, or the answer of a handler without a stream
		s.abandon(errFinal)
		outcome, err := a.read(l, &m, frame)
		if err == nil {
			err = a.fail(BadMessage, WasExecuted, errors.New("the opening of a stream was answered like a call"))
			outcome = codeOutcome(err)
		}
		return outcome, err
	}
	if p := &a.call.routing; p.trace == &p.own && p.trace != nil {
		p.kept = true
		s.hold(nil, p.own.End)
	}
	s.memory.census.begin(&s.stream, s.kind())
	o.stream = s
	return health.OK, nil
}

// callOpening sends the opening and waits for its answer.
func (l *clientConn) callOpening(
	ctx context.Context, s *clientStream, m *outgoing,
) (frame string, sent bool, err error) {
	if err := l.send(s.id, m); err != nil {
		if !l.pending.claim(s.slot, s.id) {
			<-s.slot.done
		}
		return "", false, err
	}
	if err := l.awaitReply(ctx, s.slot, s.id); err != nil {
		return "", true, err
	}
	if s.slot.err == errTimedOut {
		l.giveUp(s.id)
	}
	return s.slot.frame, s.slot.err == nil || !errors.Is(s.slot.err, errBye), s.slot.err
}

// accept reads the answer to the opening. It reports false when the answer is no acceptance.
func (s *clientStream) accept(frame string) (bool, error) {
	var h theader.Header
	if _, err := theader.Parse(frame, &h, s.conn.in.Limits); err != nil {
		return false, err
	}
	if h.Get(keyFrame) != frameAccept {
		return false, nil
	}
	s.version, s.server = strings.Clone(h.Get(keyVersion)), strings.Clone(h.Get(keyInstance))
	if s.mode.up() {
		n, err := readWindow(h.Get(keyWindow))
		if err != nil {
			return false, err
		}
		return true, s.credit(n)
	}
	return true, nil
}
