package rpc

import (
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// The info headers. docs/calls.md describes them.
const (
	keyTrace      = "traceparent"
	keyTraceState = "tracestate"
	keyBaggage    = "baggage"

	keyService  = "sk-s"
	keyDeadline = "sk-d"
	keyCaller   = "sk-c"
	keyAttempt  = "sk-a"
	keyToken    = "sk-t"
	keyUnseen   = "sk-u"

	keyVersion  = "sk-v"
	keyInstance = "sk-i"
	keyCode     = "sk-e"
	keyExecuted = "sk-x"
	keyApplied  = "sk-g"
	keyLog      = "sk-gh"

	keyControl = "sk-k"
	keyTarget  = "sk-n"
	keyHello   = "sk-h"
	keyPad     = "sk-p"
)

// The values of keyControl.
const (
	controlPing   = "ping"   // asks for a pong; with sequence number 0 any byte that comes is enough
	controlPong   = "pong"   // the answer, with as much padding (keyPad)
	controlHello  = "hello"  // the client's proof, after the pong and before the first call
	controlCancel = "cancel" // the caller no longer waits for call keyTarget
	controlCredit = "credit" // the sender of stream keyTarget may send keyWindow bytes more
	controlMoving = "moving" // stream keyTarget should be opened elsewhere
	controlGoaway = "goaway" // this server, or its service keyService, is leaving: go on, but prefer others
	controlBye    = "bye"    // every accepted call has been answered; the rest was not executed
)

// appendCallHead appends to dst the head of a frame for one attempt of a call, except its length
// and sequence number. left is the time that remains, 0 without a deadline.
func appendCallHead(
	dst []byte,
	flags uint16,
	call *Call,
	info *CallInfo,
	caller string,
	left time.Duration,
	l theader.Limits,
) ([]byte, error) {
	dst = theader.Start(dst, flags, theader.Binary)
	n := 2
	dst = theader.AppendPair(dst, keyService, call.Service)
	trace := call.ownTrace
	if info != nil && info.Trace != "" {
		trace = info.Trace
	}
	dst = append(append(append(dst, byte(len(keyTrace))), keyTrace...), tracecontext.Size)
	call.traceAt = len(dst)
	dst = tracecontext.AppendSpan(dst, trace)
	pair := func(key, value string) {
		if value != "" {
			n++
			dst = theader.AppendPair(dst, key, value)
		}
	}
	if left > 0 {
		n++
		dst = appendNumber(dst, keyDeadline, max(1, left.Milliseconds()))
	}
	pair(keyCaller, caller)
	if attempt := call.chain + call.Attempt - 1; attempt > 1 {
		n++
		dst = appendNumber(dst, keyAttempt, int64(attempt))
	}
	pair(keyToken, call.routing.raw)
	if o, ok := call.Result.(*opening); ok {
		pair(keyMode, string(o.mode))
		if o.window > 0 {
			n++
			dst = appendNumber(dst, keyWindow, o.window)
		}
		pair(keyOpener, call.routing.opener())
	}
	if raw, ok := call.Args.(*Raw); ok {
		pair(keyContext, raw.Context)
	}
	if call.routing.unseen {
		pair(keyUnseen, "1")
	}
	if info != nil {
		pair(keyTraceState, info.TraceState)
		pair(keyBaggage, info.Baggage)
	}
	return theader.Close(dst, n, l)
}

// appendNumber writes a pair with a number as its value.
func appendNumber(dst []byte, key string, n int64) []byte {
	dst = append(append(append(dst, byte(len(key))), key...), 0)
	at := len(dst)
	dst = strconv.AppendInt(dst, n, 10)
	dst[at-1] = byte(len(dst) - at)
	return dst
}

// readCallHeader reads into info what a server uses of h. remaining is 0 without a deadline, and
// negative when it has passed.
func readCallHeader(h *theader.Header, info *CallInfo) (remaining time.Duration) {
	info.Attempt = 1
	for i := range h.Info {
		value := h.Info[i].Value
		switch h.Info[i].Key {
		case keyService:
			info.Service = value
		case keyCaller:
			if info.Caller = value; !validName(value) && value != "" {
				info.Caller = unnamed
			}
		case keyTrace:
			info.Trace = value
		case keyTraceState:
			info.TraceState = value
		case keyBaggage:
			info.Baggage = value
		case keyToken:
			info.token = value
		case keyUnseen:
			info.unseen = value == "1"
		case keyAttempt:
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 1 {
				info.Attempt = int(min(n, maxAttempt))
			}
		case keyDeadline:
			remaining = readRemaining(value)
		case keyMode:
			info.streamHead().mode = value
		case keyWindow:
			info.streamHead().window = value
		case keyOpener:
			info.streamHead().opener = value
		case keyFrame:
			info.streamHead().frame = value
		}
	}
	if !tracecontext.Valid(info.Trace) { // by the standard, an invalid one counts as absent
		info.Trace, info.TraceState = "", ""
	}
	return remaining
}

// maxAttempt bounds the attempt number of a hostile client.
const maxAttempt = 1 << 20

// maxRemaining bounds the deadline of a hostile client to the range of time.Duration.
const maxRemaining = 365 * 24 * time.Hour

func readRemaining(value string) time.Duration {
	ms, err := parseNumber(value)
	switch {
	case err != nil:
		return 0
	case ms <= 0:
		return -1
	case ms > maxRemaining.Milliseconds():
		return maxRemaining
	}
	return time.Duration(ms) * time.Millisecond
}

// parseNumber is strconv.ParseInt with a fast path for digits only.
func parseNumber(s string) (int64, error) {
	if len(s) == 0 || len(s) > 18 {
		return strconv.ParseInt(s, 10, 64)
	}
	n := int64(0)
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return strconv.ParseInt(s, 10, 64) // a sign, or an invalid number
		}
		n = 10*n + int64(digit)
	}
	return n, nil
}

// appendControl appends a control frame to dst. target is the sequence number of a cancelled call;
// 0 = none.
func appendControl(dst []byte, kind string, seq, target int32) []byte {
	h := theader.Header{Seq: seq, Flags: theader.OutOfOrder, Info: make([]theader.Pair, 0, 2)}
	h.Set(keyControl, kind)
	if target != 0 {
		h.Set(keyTarget, strconv.Itoa(int(target)))
	}
	return appendControlFrame(dst, &h)
}

// appendGoaway appends to dst the goaway of one service.
func appendGoaway(dst []byte, service string) []byte {
	return appendPair(dst, controlGoaway, 0, keyService, service)
}

// appendPair appends to dst a control frame with one more pair.
func appendPair(dst []byte, kind string, seq int32, key, value string) []byte {
	h := theader.Header{Seq: seq, Flags: theader.OutOfOrder, Info: make([]theader.Pair, 0, 2)}
	h.Set(keyControl, kind)
	h.Set(key, value)
	return appendControlFrame(dst, &h)
}

// appendControlFrame appends to dst a frame without a message.
func appendControlFrame(dst []byte, h *theader.Header) []byte {
	begin := len(dst)
	dst, err := theader.Append(dst, h, theader.Limits{})
	if err == nil {
		err = theader.Finish(dst[begin:], theader.Limits{})
	}
	if err != nil {
		panic("rpc: control frame over the default limits: " + err.Error())
	}
	return dst
}
