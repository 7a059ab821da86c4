package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
)

// rulesLimit is how long a service waits for rules that it has not received yet.
const rulesLimit = 2 * time.Second

// Join lets a Go service behind the gateway take part in the traces of requests. Before next runs,
// the rules decide whether this version of the service may execute the request. If not, Join
// refuses it unexecuted, and the gateway tries an instance of the right version. All calls made
// with the request's context belong to the trace. A request without a token has not come by a
// gateway: it is counted as an orphan and served.
//
//	http.Handle("/", gateway.Join(node, "web", "v2", pages))
func Join(node interface{ Rollout() *participant.Agent }, service, version string, next http.Handler) http.Handler {
	agent := node.Rollout()
	origin := agent.Origin(service, service+"/"+version)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent.Await(r.Context())
		a := arrival{baggage: foreign(r.Header[headerBaggage], tracecontext.TokenMember)}
		a.traceparent, a.state = traceOf(r.Header)
		text := tokenIn(r.Header[headerBaggage])
		var t participant.Trace
		if text == "" {
			origin.Orphan(&t, rollout.SeedOf(traceID(a.traceparent)))
		} else {
			token, err := rollout.ParseToken(text)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if code, err := admit(r.Context(), agent, service, version, token); err != nil {
				w.Header().Set(headerRefused, code.String())
				w.Header().Set(headerApplied, agent.Log().Last().String())
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			origin.Join(&t, token, "", "")
		}
		defer t.End()
		serve(next, &writer{ResponseWriter: w}, r, &a, &t)
	})
}

// admit asks the rules. It first waits for rules that the gateway knows and this process does not
// know yet.
func admit(ctx context.Context, agent *participant.Agent, service, version string,
	token rollout.Token) (rpc.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, rulesLimit)
	defer cancel()
	agent.CatchUp(ctx, token.Generation)
	err := agent.Log().Admit(service, version, token)
	if err == nil {
		return 0, nil
	}
	err = fmt.Errorf("%s %s, which has applied generation %v, was asked by generation %v: %w",
		service, version, agent.Log().Last(), token.Generation, err)
	return rpc.RefusalCode(err), err
}
