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

// read decodes a reply into the call's result, and returns the outcome of the attempt.
func (a *attempt) read(l *clientConn, m *outgoing, frame string) (health.Outcome, error) {
	if a.call.OneWay && !l.dialect.shared {
		if m.behind != nil && !a.lastReply(l, frame) {
			l.fail(errUnused)
		}
		return health.OK, nil
	}
	payload, encoding := frame, l.dialect.encoding
	memory := &a.call.memory
	*memory = account{decodeLimits: &a.s.c.decodeLimits}
	defer memory.close()
	status := replyStatus{memory: memory}
	if l.dialect.header {
		var err error
		if payload, encoding, err = status.head(l, frame); err != nil {
			return a.badReply(l, err)
		}
		a.call.meta.Headers = status.meta
	}
	if a.call.OneWay && payload == "" {
		return health.OK, nil
	}
	status.seq, status.sent = m.seq, m.name
	outcome, err := a.message(encoding, payload, &status)
	if err == nil {
		return outcome, nil
	}
	var bad *badMessage
	if errors.As(err, &bad) {
		return a.badReply(l, bad.error)
	}
	return outcome, err
}

// badMessage is a reply that can't be understood.
type badMessage struct{ error }

// badReply ends a connection after an invalid reply.
func (a *attempt) badReply(l *clientConn, err error) (health.Outcome, error) {
	err = fmt.Errorf("read reply: %w", err)
	l.fail(err)
	e := a.fail(BadMessage, MaybeExecuted, err)
	return e.Code.Outcome(), e
}

// replyStatus is what the header of a skerry server's reply says.
type replyStatus struct {
	seq       int32  // sequence number of the message that is answered
	sent      string // the method's name in that message
	framework bool   // the framework answered, not the handler
	code      Code
	executed  Executed
	applied   string // generation, with a refusal by the rules
	log       string // hash of the entry of that generation
	meta      thrift.THeaderMap
	memory    *account
}

// replyHead is the head of an ordinary reply. On one connection these heads differ only in their
// sequence numbers: the first is parsed, and later ones are compared with it byte by byte. Its map
// goes to many callers, which must not change it.
type replyHead struct {
	front, back string // the parts around the sequence number
	encoding    flat.Protocol
	meta        thrift.THeaderMap
}

const (
	headSeqAt  = 4 // in a frame without its length word
	headBackAt = 8
)

func (k *replyHead) fits(frame string) bool {
	return k != nil && len(frame) >= headBackAt+len(k.back) && frame[:headSeqAt] == k.front &&
		frame[headBackAt:headBackAt+len(k.back)] == k.back
}

// head reads the header in front of a reply's message.
func (s *replyStatus) head(l *clientConn, frame string) (payload string, encoding flat.Protocol, err error) {
	if k := l.replyHead.Load(); k.fits(frame) {
		s.meta = k.meta
		return frame[headBackAt+len(k.back):], k.encoding, nil
	}
	h := headers.Get().(*theader.Header)
	defer func() { h.Reset(); headers.Put(h) }()
	if payload, err = theader.Parse(frame, h, l.in.Limits); err != nil {
		return "", 0, err
	}
	encoding = flat.Protocol(h.Protocol)
	s.read(h)
	if h.Zipped {
		payload, err = theader.Inflate(payload, l.in.Limits, s.memory.inflated)
		return payload, encoding, err
	}
	if back := len(frame) - len(payload); !s.framework && back-headBackAt <= maxKnownHead {
		l.replyHead.Store(
			&replyHead{strings.Clone(frame[:headSeqAt]), strings.Clone(frame[headBackAt:back]), encoding, s.meta},
		)
	}
	return payload, encoding, nil
}

// maxKnownHead bounds what a connection remembers.
const maxKnownHead = 1 << 10

func (s *replyStatus) read(h *theader.Header) {
	if len(h.Info) == 0 {
		return
	}
	s.meta = make(thrift.THeaderMap, len(h.Info))
	for _, p := range h.Info {
		p.Key, p.Value = strings.Clone(p.Key), strings.Clone(p.Value)
		s.meta[p.Key] = p.Value
		switch p.Key {
		case keyCode:
			s.framework, s.code = true, ParseCode(p.Value)
		case keyApplied:
			s.applied = p.Value
		case keyLog:
			s.log = p.Value
		case keyExecuted:
			s.executed = NotExecuted
			if p.Value == "1" {
				s.executed = WasExecuted
			}
		}
	}
}

// message reads the Thrift message of a reply into the call's result.
func (a *attempt) message(encoding flat.Protocol, payload string, status *replyStatus) (health.Outcome, error) {
	r := flat.NewReader(encoding, payload, a.s.memoryOfReply(status.memory, a.call.Result))
	defer r.Free()
	ctx := a.ctx.base
	name, kind, seq, err := r.ReadMessageBegin(ctx)
	switch {
	case err != nil:
		return health.Broken, &badMessage{err}
	case seq != status.seq:
		return health.Broken, &badMessage{fmt.Errorf("call %d was answered with a reply to call %d", status.seq, seq)}
	case kind == thrift.EXCEPTION:
		x, err := readException(ctx, r)
		if err != nil {
			return health.Broken, &badMessage{err}
		}
		e := a.exception(x, status)
		return e.Code.Outcome(), e
	case name != a.call.Method && name != status.sent: // servers send the name with or without the prefix
		return health.Broken, &badMessage{
			fmt.Errorf("a call of %s was answered with a reply to %.100q", a.call.Method, name),
		}
	case kind != thrift.REPLY || a.call.Result == nil:
		return health.Broken, &badMessage{fmt.Errorf("message type %d is not a reply", kind)}
	}
	outcome := health.OK
	if declared(encoding, payload[len(payload)-r.Left():]) {
		outcome = health.AppError
	}
	if err := a.call.Result.Read(ctx, r); err != nil {
		code := BadMessage
		if status.memory.denied != Unknown {
			code = TooLarge
		}
		return health.Broken, a.fail(code, WasExecuted, fmt.Errorf("read result: %w", err))
	}
	return outcome, nil
}

// readException reads a TApplicationException. It skips unknown fields at once, which the stock
// library reads element by element.
func readException(ctx context.Context, r flat.Reader) (thrift.TApplicationException, error) {
	if _, err := r.ReadStructBegin(ctx); err != nil {
		return nil, err
	}
	text, kind := "", int32(thrift.UNKNOWN_APPLICATION_EXCEPTION)
	for {
		_, t, id, err := r.ReadFieldBegin(ctx)
		switch {
		case err != nil:
			return nil, err
		case t == thrift.STOP:
			text = strings.Clone(shorten(text)) // kept longer than the frame
			return thrift.NewTApplicationException(kind, text), r.ReadStructEnd(ctx)
		case id == 1 && t == thrift.STRING:
			text, err = r.ReadString(ctx)
		case id == 2 && t == thrift.I32:
			kind, err = r.ReadI32(ctx)
		default:
			err = r.Skip(ctx, t)
		}
		if err != nil {
			return nil, err
		}
	}
}

// declared reports whether a result struct holds an exception of the IDL: its
// first field is then not 0, the success.
func declared(encoding flat.Protocol, result string) bool {
	if len(result) < 3 || result[0] == byte(thrift.STOP) {
		return false
	}
	if encoding == flat.Compact {
		return result[0]>>4 != 0 // the id's distance from 0; 0 itself has the long form
	}
	return result[1] != 0 || result[2] != 0
}

// exception returns the *Error for a TApplicationException.
func (a *attempt) exception(x thrift.TApplicationException, status *replyStatus) *Error {
	if status.framework {
		a.theirs, a.theirLog = status.applied, status.log
		// The text begins with the code for callers that do not read headers.
		x = thrift.NewTApplicationException(x.TypeId(), strings.TrimPrefix(x.Error(), status.code.String()+": "))
		if status.code == DeadlineExceeded {
			return a.fail(status.code, status.executed, fmt.Errorf("%w: %w", x, context.DeadlineExceeded))
		}
		return a.fail(status.code, status.executed, x)
	}
	switch x.TypeId() {
	case thrift.UNKNOWN_METHOD, thrift.WRONG_METHOD_NAME:
		return a.fail(UnknownMethod, NotExecuted, x)
	case thrift.PROTOCOL_ERROR,
		thrift.INVALID_PROTOCOL,
		thrift.INVALID_TRANSFORM,
		thrift.BAD_SEQUENCE_ID,
		thrift.INVALID_MESSAGE_TYPE_EXCEPTION:
		return a.fail(BadMessage, MaybeExecuted, x)
	}
	return a.fail(HandlerFailed, WasExecuted, x)
}
