package gateway

import (
	"net/http"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
)

// Transport is an http.RoundTripper for a handler's own HTTP requests to services behind. Each
// request carries the trace of its context, as W3C traceparent and as the token in baggage, for
// [Join] on the other side. The called services are not known, so from the first request on the
// work of this process holds back every version that is to go. base nil means
// http.DefaultTransport. Use it for services of the site only.
//
//	client := &http.Client{Transport: gateway.Transport(nil)}
func Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return transport{base}
}

type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	info, trace := rpc.CallInfoFrom(r.Context()), participant.TraceFrom(r.Context())
	if info == nil && trace == nil {
		return t.base.RoundTrip(r)
	}
	if info == nil {
		info = &rpc.CallInfo{}
	}
	baggage := foreign([]string{info.Baggage}, tracecontext.TokenMember)
	if trace != nil {
		trace.MayCall(rollout.Anywhere) // the service that answers is not known, nor the services that it calls
		token, _, err := trace.Send(rollout.Anywhere)
		defer trace.Returned(err == nil)
		if err != nil {
			return nil, err
		}
		baggage = withToken(token.String(), baggage)
	}
	r = r.Clone(r.Context())
	setTrace(r.Header, tracecontext.NextSpan(info.Trace), info.TraceState, baggage)
	return t.base.RoundTrip(r)
}
