package gateway

import (
	"errors"
	"net/http"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
)

// Transport is an http.RoundTripper for a handler's own HTTP requests to services behind. Each
// request carries the trace of its context, as W3C traceparent and as the token in baggage, for
// [Join] on the other side. In the copy of a call (mirror in the site's policy) only GET, HEAD and
// OPTIONS are sent, as the others may change something. The called services are not known, so from the
// first request on the work of this process holds back every outgoing version. base nil means
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

// errShadow is the reason why a copy of a call (mirror in the site's policy) makes no request that may change anything.
var errShadow = errors.New("the request belongs to a copy of a call, by the site's policy, and its method may change " +
	"something: only GET, HEAD and OPTIONS are sent")

// shadow refuses a request of a copy that may change something.
func shadow(r *http.Request, info *rpc.CallInfo) error {
	if tracecontext.Member(info.Baggage, tracecontext.MirrorMember) == "" {
		return nil
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return &rpc.Error{Code: rpc.Shadow, Executed: rpc.NotExecuted, Service: r.URL.Host, Method: r.Method,
		Err: errShadow}
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	info, trace := rpc.CallInfoFrom(r.Context()), participant.TraceFrom(r.Context())
	if info == nil && trace == nil {
		return t.base.RoundTrip(r)
	}
	if info == nil {
		info = &rpc.CallInfo{}
	}
	if err := shadow(r, info); err != nil {
		return nil, err
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
