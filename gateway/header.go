package gateway

import (
	"net/http"
	"strings"

	"github.com/skerry/skerry/rpc"
)

// The headers of W3C Trace Context and Baggage, in their canonical spelling.
const (
	headerTrace   = "Traceparent"
	headerState   = "Tracestate"
	headerBaggage = "Baggage"

	// headerRefused is the answer's header by which [Join] says that the
	// request was not executed, and why: the spelling of an rpc.Code.
	headerRefused = "Skerry-Refused"
	headerApplied = "Skerry-Applied" // the generation of the rules that it knows
)

// Limits of the standards; what is longer may be dropped.
const (
	maxBaggage = 8192
	maxState   = 512
)

// ours begins the names of the baggage members that only the site itself may
// set: the token, the sticky key, the mark.
const ours = "skerry-"

const traceIDAt, traceIDEnd = 3, 35 // in a traceparent

// traceOf is the trace that a request from outside belongs to: that of its
// traceparent, else of its B3 headers, else a new one.
func traceOf(h http.Header) (traceparent, state string) {
	if list := h[headerTrace]; len(list) == 1 {
		next := rpc.NextSpan(list[0])
		if continues(next, list[0]) {
			state = strings.Join(h[headerState], ",")
			if len(state) > maxState {
				state = ""
			}
			return next, state
		}
	}
	return rpc.NextSpan(fromB3(h)), ""
}

// continues reports whether NextSpan took parent for a traceparent.
func continues(next, parent string) bool {
	return len(parent) >= traceIDEnd && next[traceIDAt:traceIDEnd] == parent[traceIDAt:traceIDEnd]
}

func traceID(traceparent string) string { return traceparent[traceIDAt:traceIDEnd] }

// fromB3 writes B3 headers (of Zipkin: one header, or one for each part) as a
// traceparent. It need not be a valid one.
func fromB3(h http.Header) string {
	trace, span, sampled := h.Get("X-B3-Traceid"), h.Get("X-B3-Spanid"), h.Get("X-B3-Sampled")
	if parts := strings.Split(h.Get("B3"), "-"); trace == "" && len(parts) >= 2 {
		trace, span = parts[0], parts[1]
		if len(parts) > 2 {
			sampled = parts[2]
		}
	}
	if len(trace) == 16 {
		trace = "0000000000000000" + trace
	}
	if len(trace) == 32 && len(span) != 16 {
		span = trace[16:] // some senders name the trace only
	}
	flags := "01"
	if sampled == "0" || sampled == "false" {
		flags = "00"
	}
	return "00-" + strings.ToLower(trace) + "-" + strings.ToLower(span) + "-" + flags
}

// foreign is the baggage without members whose names begin with one of drop.
// More than the standard asks to be passed on is dropped as a whole.
func foreign(lines []string, drop string) string {
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	if size > maxBaggage {
		return ""
	}
	var keep []string
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			member = strings.TrimSpace(member)
			if member != "" && !strings.HasPrefix(strings.ToLower(member), drop) {
				keep = append(keep, member)
			}
		}
	}
	return strings.Join(keep, ",")
}

// withToken puts the token in front of the other members.
func withToken(token, baggage string) string {
	member := rpc.BaggageToken + "=" + token
	if baggage == "" {
		return member
	}
	return member + "," + baggage
}

// tokenIn is the token that baggage of our own gateway carries, "" without one.
func tokenIn(lines []string) string {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(member, "=")
			if strings.TrimSpace(name) == rpc.BaggageToken {
				value, _, _ = strings.Cut(value, ";")
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

// setTrace replaces what a request brought by what the site says of it.
func setTrace(h http.Header, traceparent, state, baggage string) {
	for name := range h {
		if ofTrace(name) {
			h.Del(name)
		}
	}
	h.Set(headerTrace, traceparent)
	setOrDelete(h, headerState, state)
	setOrDelete(h, headerBaggage, baggage)
}

func setOrDelete(h http.Header, name, value string) {
	if value == "" {
		h.Del(name)
		return
	}
	h.Set(name, value)
}
