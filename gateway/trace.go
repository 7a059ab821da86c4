package gateway

import (
	"bytes"
	"cmp"
	"io"
	"net/http"

	"github.com/skerry/skerry/internal/rollout/participant"
)

// Trace gives every request to next a trace of its own, for a Go service that faces users itself.
// All calls made with the request's context meet one version of each service. Trace checks the
// headers from outside as the package comment says; next sees the corrected headers. It reads a
// body of at most 64 KiB before the trace begins, and lets no body stop for 30 s, so that no client
// holds back a release by sending nothing. The trace ends when next has returned. If next took over
// the connection, the trace ends when that is closed.
//
//	http.Handle("/", gateway.Trace(node, pages, func(e *gateway.Entry) { e.StickyCookie = "session" }))
func Trace(node interface{ Rollout() *participant.Agent }, next http.Handler, edits ...func(*Entry)) http.Handler {
	var e Entry
	for _, edit := range edits {
		edit(&e)
	}
	agent := node.Rollout()
	origin := agent.Origin(cmp.Or(e.Name, "http"), "")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &writer{ResponseWriter: w}
		defer pace(out, r, bodyIdle, out.sent).stop()
		body, err := payloadOf(r)
		if err != nil {
			status := statusOf(err)
			http.Error(w, textOf(status, err), status)
			return
		}
		if body.stream == nil {
			r.Body = io.NopCloser(bytes.NewReader(body.text))
		}
		agent.Await(r.Context())
		a := e.read(r, agent.Log(), tableOf(node), provenanceOf(r, nil).client)
		var t participant.Trace
		origin.Begin(&t, a.seed, a.mark)
		defer t.End()
		serve(next, out, r, &a, &t)
	})
}

// serve runs a handler within a trace.
func serve(next http.Handler, w *writer, r *http.Request, a *arrival, t *participant.Trace) {
	r = r.WithContext(a.context(r.Context(), t))
	r.Header = r.Header.Clone()
	setTrace(r.Header, a.traceparent, a.state, a.baggage)
	w.hijack = t.HandOff
	next.ServeHTTP(w, r)
}
