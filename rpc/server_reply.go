package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// conclude sends the handler's reply, or an exception instead.
func (r *serverCall) conclude(h *handlerRun, err error) health.Outcome {
	if p := panicOf(err); p != nil {
		r.conn.s.log.Error("rpc: handler panicked", "service", r.info.Service, "method", r.info.Method,
			"panic", p.value, "stack", string(p.stack))
		return r.exception(HandlerPanicked, WasExecuted, p)
	}
	reply := h.out.Bytes()
	switch {
	case r.memory.denied != Unknown: // the arguments were not read to their end
		return r.exception(r.memory.denied, NotExecuted, err)
	case len(reply) == 0 && err == nil && !h.started && !r.info.OneWay:
		return r.exception(HandlerFailed, NotExecuted, errNoAnswer)
	case len(reply) == 0 && (err == nil || h.ok): // one-way: its IDL declares no error
		if h.started {
			r.kind.silent.Store(true)
		}
		if err == nil {
			return health.OK
		}
		return r.handlerCode().Outcome()
	case len(reply) == 0 || (kindOf(r.encoding, reply) == thrift.REPLY && !h.ok && err != nil):
		return r.answerFailed(h, err)
	case kindOf(r.encoding, reply) == thrift.REPLY:
		r.answer(reply, 0, WasExecuted)
		return appOutcome(err)
	case h.ok: // the handler's own error, in the processor's words
		code := r.handlerCode()
		r.answer(reply, code, WasExecuted)
		return code.Outcome()
	}
	r.answer(reply, BadMessage, NotExecuted) // the arguments could not be read
	return BadMessage.Outcome()
}

var errNoAnswer = errors.New("an interceptor has neither run the handler nor returned an error")

func panicOf(err error) *panicked {
	if err == nil {
		return nil
	}
	var p *panicked
	errors.As(err, &p)
	return p
}

// answerFailed answers a call without a complete reply of its handler.
func (r *serverCall) answerFailed(h *handlerRun, err error) health.Outcome {
	var refusal *Error
	var protocol thrift.TProtocolException
	switch _, raw := r.served.processor.(RawHandler); {
	case raw && errors.As(err, &refusal):
		return r.answerRawError(h, refusal)
	case !h.started && errors.As(err, &refusal):
		code := refusal.Code
		if code == Unknown { // without a code the caller would not see that the framework answers
			code = HandlerFailed
		}
		return r.exception(code, NotExecuted, errors.Join(refusal.Err))
	case !h.started:
		return r.exception(HandlerFailed, NotExecuted, err)
	case errors.As(err, &protocol) && protocol.TypeId() == thrift.SIZE_LIMIT && len(h.out.Bytes()) > 0:
		return r.exception(TooLarge, WasExecuted, err)
	case r.info.OneWay && protocol != nil: // the arguments could not be read
		return BadMessage.Outcome()
	case r.info.OneWay:
		return r.handlerCode().Outcome()
	}
	return r.exception(r.handlerCode(), WasExecuted, err)
}

// handlerCode is the code of a handler's undeclared error.
func (r *serverCall) handlerCode() Code {
	if r.stream() != nil {
		if code := r.stream().whyCut(); code != Unknown {
			return code
		}
	}
	if err := r.ctx.Err(); err != nil {
		return giveUpCode(err, Canceled)
	}
	if atomic.LoadUint32(&r.info.shadowed) != 0 {
		return Shadow
	}
	return HandlerFailed
}

// appOutcome returns the outcome of a call with a reply; an error beside the reply is a declared
// exception.
func appOutcome(err error) health.Outcome {
	if err != nil {
		return health.AppError
	}
	return health.OK
}

// kindOf reads the message type from the first bytes of a message.
func kindOf(encoding flat.Protocol, message []byte) thrift.TMessageType {
	switch {
	case len(message) < 4:
		return thrift.INVALID_TMESSAGE_TYPE
	case encoding == flat.Compact:
		return thrift.TMessageType(message[1] >> 5)
	}
	return thrift.TMessageType(message[3])
}

// refuse answers a call that was not admitted.
func (r *serverCall) refuse(code Code, err error) {
	r.conn.s.refused.Add(1)
	r.closeStream(code.String())
	r.releaseMemory()
	r.undoLimits()
	if code != RulesNeeded && r.counted != nil { // after RulesNeeded the caller pushes the rules and calls again
		r.record(code.Outcome(), 0)
		r.rememberRefusal(code)
		r.keepRefusal(code)
	}
	r.exception(code, NotExecuted, err)
	r.releaseOrder()
	if code == Draining && !r.conn.skerry.Load() {
		r.conn.close(errServerStopped)
	}
}

// exception answers with a TApplicationException, which every Thrift client understands, and with
// the code for clients that read headers.
func (r *serverCall) exception(code Code, executed Executed, err error) health.Outcome {
	if st := r.stream(); st != nil {
		st.answer = code
	}
	if r.abandoned.Load() || r.answerUnread(executed) {
		return code.Outcome()
	}
	text := code.String()
	if err != nil && err.Error() != "" {
		text += ": " + err.Error()
	}
	w := flat.NewWriter(r.encoding, r.conn.s.cfg.Sizes.Frame)
	defer w.Free()
	x := thrift.NewTApplicationException(exceptionType(code), shorten(text))
	ctx := context.Background()
	if err := errors.Join(w.WriteMessageBegin(ctx, r.info.Method, thrift.EXCEPTION, r.messageID), x.Write(ctx, w),
		w.WriteMessageEnd(ctx)); err == nil {
		r.answer(w.Bytes(), code, executed)
	}
	return code.Outcome()
}

// answerUnread reports whether the client reads no answer. A skerry client reads none once it knows
// that its one-way call was accepted. A plain client reads none for any one-way call. The stock Go
// client does not mark its one-way calls: a method that has sent no answer before is taken for one.
func (r *serverCall) answerUnread(executed Executed) bool {
	if r.unordered && r.conn.dialect.header {
		return r.info.OneWay && executed != NotExecuted
	}
	return r.info.OneWay || r.kind != nil && r.kind.silent.Load()
}

// maxText bounds the text of an exception.
const maxText = 4 << 10

func shorten(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + " …"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func exceptionType(code Code) int32 {
	switch code {
	case UnknownMethod, UnknownService:
		return thrift.UNKNOWN_METHOD
	case BadMessage:
		return thrift.PROTOCOL_ERROR
	}
	return thrift.INTERNAL_ERROR
}

// answer sends a message, with code unless it is Unknown. It does not wait for a client that does
// not read.
func (r *serverCall) answer(message []byte, code Code, executed Executed) {
	if r.abandoned.Load() {
		return
	}
	c := r.conn
	var room [256]byte
	head, err := r.head(room[:0], code, executed)
	if err == nil {
		err = setLength(head, len(message), c.in.Limits)
	}
	if err != nil {
		if code != TooLarge {
			r.exception(TooLarge, executed, err)
		}
		return
	}
	if p := r.inline(); len(message) < transport.DirectSize && p != nil && p.Load() == r {
		// The reader writes after it has handled all received calls.
		err = c.out.Queue(head, message)
	} else {
		err = c.out.Send(head, message, int(c.s.running.Load())-1)
	}
	if err != nil {
		c.close(err)
	}
}

// head appends to dst the head of a reply's message.
func (r *serverCall) head(dst []byte, code Code, executed Executed) ([]byte, error) {
	switch d := r.conn.dialect; {
	case d.unframed:
		return dst, nil
	case !d.header:
		return append(dst, 0, 0, 0, 0), nil
	}
	dst = theader.Start(dst, r.flags(), byte(r.encoding))
	n := 0
	pair := func(key, value string) {
		if value != "" {
			n++
			dst = theader.AppendPair(dst, key, value)
		}
	}
	pair(keyVersion, r.info.Version)
	pair(keyInstance, r.conn.s.cfg.Instance)
	if code != Unknown {
		pair(keyCode, code.String())
		if tip, ok := r.applied(code); ok {
			pair(keyApplied, tip.Generation.String())
			pair(keyLog, tip.Hash)
		}
		pair(keyExecuted, [...]string{MaybeExecuted: "", NotExecuted: "0", WasExecuted: "1"}[executed])
	}
	dst, err := theader.Close(dst, n, r.conn.in.Limits)
	if err != nil {
		return dst, fmt.Errorf("write header: %w", err)
	}
	theader.SetSeq(dst, r.seq)
	return dst, nil
}

func (r *serverCall) flags() uint16 {
	if r.unordered {
		return theader.OutOfOrder
	}
	return 0
}

// applied returns the end of this process's rule log, for a caller that is refused by the rules.
func (r *serverCall) applied(code Code) (tip rollout.Position, ok bool) {
	switch code {
	case RulesNeeded, Retired, WrongVersion, RulesForked, Expired:
		if agent := r.conn.s.cfg.Rollout; agent != nil {
			return agent.Log().Tip(), true
		}
	}
	return tip, false
}
