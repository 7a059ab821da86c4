package gateway

import (
	"context"
	"crypto/subtle"
	"net/http"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// PreviewCookie is the cookie that leads a verifier to the versions of the open release. Its value
// is the release's mark.
const PreviewCookie = "skerry-preview"

// Entry configures how requests become traces.
type Entry struct {
	// Name is the entry's name in release status; default "http".
	Name string

	// StickyCookie and StickyHeader name a value that is the same in all requests of one user; see
	// [Config].
	StickyCookie string
	StickyHeader string
}

// arrival is the data that a request brings, read before any work begins.
type arrival struct {
	traceparent, state, baggage string
	seed                        uint64
	mark                        string
}

// read takes the data of the trace from a request that comes from outside. A verifier's cookie takes
// precedence over the lanes of the site's policy, which match the address client.
func (e *Entry) read(r *http.Request, log *rollout.Log, lanes *policy.Table, client string) arrival {
	a := arrival{baggage: foreign(r.Header[headerBaggage], ours), mark: markOf(r, log)}
	a.traceparent, a.state = traceOf(r.Header)
	a.seed = rollout.SeedOf(e.stickyKey(r, traceID(a.traceparent)))
	if a.mark == "" {
		a.mark = a.laneOf(r, lanes, log, client)
	}
	return a
}

func (e *Entry) stickyKey(r *http.Request, otherwise string) string {
	if e.StickyCookie != "" {
		if c, err := r.Cookie(e.StickyCookie); err == nil && c.Value != "" {
			return c.Value
		}
	}
	if e.StickyHeader != "" {
		if v := r.Header.Get(e.StickyHeader); v != "" {
			return v
		}
	}
	return otherwise
}

// markOf is the verifier's mark of a request: the mark of the open release, which is not public
// yet.
func markOf(r *http.Request, log *rollout.Log) string {
	c, err := r.Cookie(PreviewCookie)
	if err != nil || c.Value == "" {
		return ""
	}
	release, open := openRelease(log)
	if !open || subtle.ConstantTimeCompare([]byte(c.Value), []byte(release.Mark)) == 0 {
		return ""
	}
	return release.Mark
}

// openRelease is the release that is not public yet.
func openRelease(log *rollout.Log) (rollout.Release, bool) {
	release, ok := log.Session()
	return release, ok && (release.State == rollout.Prepared || release.State == rollout.Ramping)
}

// context gives the calls made for the request its trace, baggage and token.
func (a *arrival) context(ctx context.Context, t *participant.Trace) context.Context {
	ctx = rpc.WithTrace(ctx, a.traceparent, a.state)
	if a.baggage != "" {
		ctx = rpc.WithBaggage(ctx, a.baggage)
	}
	return t.Context(ctx)
}
