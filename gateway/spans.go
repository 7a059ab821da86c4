package gateway

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/rpc"
)

// spanService is the service of the spans of requests.
const spanService = "gateway"

// keeper is a Node that keeps spans. *skerry.Node is one.
type keeper interface{ Spans() *spans.Recorder }

// keepSpan keeps the span of a request that failed, was slow, needed further attempts, or belongs to a sampled trace.
// It is the first one of its trace. It has the path of the route, not that of the request, which may tell of a person.
func (g *Gateway) keepSpan(v *visit, r *http.Request, w *writer, began time.Time, took time.Duration) {
	k, ok := g.node.(keeper)
	if !ok || v.traceparent == "" || w.status == http.StatusSwitchingProtocols {
		return
	}
	all := k.Spans()
	failed := v.err != nil || w.status >= http.StatusInternalServerError
	if all == nil || !failed && v.attempts <= 1 && !all.Slow(took) && !spans.SampledParent(v.traceparent) {
		return
	}
	s := spans.Span{Side: spans.Edge, Took: took, Attempt: 1, Service: spanService,
		Method: shown(r.Method) + " " + v.route, Version: v.version, Mark: v.mark}
	s.Trace, s.ID, _ = spans.IDs(v.traceparent)
	if failed {
		s.Failure = "http_" + strconv.Itoa(cmp.Or(w.status, http.StatusOK))
		if code := rpc.CodeOf(v.err); code != rpc.Unknown {
			s.Failure = code.String()
		}
	}
	all.Keep(began, &s)
}
