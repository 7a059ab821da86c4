package gateway

import (
	"net/http"
	"strings"

	"github.com/skerry/skerry/internal/tracecontext"
)

// The headers of W3C Trace Context and Baggage, in their canonical spelling.
const (
	headerTrace   = "Traceparent"
	headerState   = "Tracestate"
	headerBaggage = "Baggage"

	// headerRefused is the header of an answer by which [Join] says that the request was not
	// executed. Its value is the reason: the spelling of an rpc.Code.
	headerRefused = "Skerry-Refused"
	headerApplied = "Skerry-Applied" // the generation of the rules that the service knows
)

// Limits of the standards. A receiver may drop longer values.
const (
	maxBaggage = 8192
	maxState   = 512
)

// ours is the prefix of the baggage members that only the site itself may set: the token, the
// sticky key, the mark.
const ours = "skerry-"

const traceIDAt, traceIDEnd = 3, 35 // in a traceparent

// traceOf is the trace of a request from outside: that of its traceparent, else of its B3 headers,
// else a new trace.
func traceOf(h http.Header) (traceparent, state string) {
	if list := h[headerTrace]; len(list) == 1 {
		next := tracecontext.NextSpan(list[0])
		if continues(next, list[0]) {
			state = strings.Join(h[headerState], ",")
			if len(state) > maxState {
				state = ""
			}
			return next, state
		}
	}
	return tracecontext.NextSpan(fromB3(h)), ""
}

// continues reports whether NextSpan accepted parent as a traceparent.
func continues(next, parent string) bool {
	return len(parent) >= traceIDEnd && next[traceIDAt:traceIDEnd] == parent[traceIDAt:traceIDEnd]
}

func traceID(traceparent string) string { return traceparent[traceIDAt:traceIDEnd] }

// fromB3 writes B3 headers (of Zipkin: one header, or one for each part) as a traceparent. The
// result may be invalid.
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
		span = trace[16:] // some senders send the trace only
	}
	flags := "01"
	if sampled == "0" || sampled == "false" {
		flags = "00"
	}
	return "00-" + strings.ToLower(trace) + "-" + strings.ToLower(span) + "-" + flags
}

// foreign is the baggage without the members that begin with drop. It is empty if the baggage is
// longer than the standard asks a receiver to pass on.
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
	member := tracecontext.TokenMember + "=" + token
	if baggage == "" {
		return member
	}
	return member + "," + baggage
}

// tokenIn is the token in the baggage that a gateway of the site has set, "" without one.
func tokenIn(lines []string) string {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(member, "=")
			if strings.TrimSpace(name) == tracecontext.TokenMember {
				value, _, _ = strings.Cut(value, ";")
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

// setTrace replaces the trace headers of a request by those of the site.
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
