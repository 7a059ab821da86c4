package gateway

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/skerry/skerry/config"
)

// proxy serves a route to HTTP services.
type proxy struct {
	up      *upstream
	forward *httputil.ReverseProxy
}

// flushed is how long a part of a response may wait: streams must not. Tests with the race detector change it.
var flushed time.Duration = -1

func newProxy(g *Gateway, r config.Route) *proxy {
	up := newUpstream(g, r)
	g.ups = append(g.ups, up)
	return &proxy{up, &httputil.ReverseProxy{
		Transport:      up,
		FlushInterval:  flushed,
		ErrorHandler:   explain,
		ErrorLog:       slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug), // the access log has the same fact
		Rewrite:        rewrite,
		ModifyResponse: inspect,
	}}
}

// ServeHTTP forwards a request that the site's policy admits. Its place within the limits is taken until the
// response has been sent, or the WebSocket has closed.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	end, err := p.up.admit(r)
	if err != nil {
		explain(w, r, err)
		return
	}
	defer end()
	p.forward.ServeHTTP(w, r)
}

// rewrite turns a user's request into the request for a service.
func rewrite(pr *httputil.ProxyRequest) {
	v := visitOf(pr.In.Context())
	out := pr.Out
	out.URL.RawPath = v.path.Raw
	if v.entrance.Strip {
		out.URL.RawPath = v.path.Below(v.entrance.depth)
	}
	out.URL.Path, _ = url.PathUnescape(out.URL.RawPath) // every segment was decoded before
	out.Trailer = trailersOf(pr.In)
	clean(out.Header)
	v.from.set(out.Header)
	setTrace(out.Header, v.traceparent, v.state, v.baggage)
	// The gateway itself tells the client to send its body. A service that ignores the header would
	// cost a wait. A service that refuses answers early anyway.
	out.Header.Del("Expect")
}

// inspect checks the response of a service before the client gets any of it.
func inspect(response *http.Response) error {
	if response.StatusCode == http.StatusSwitchingProtocols {
		if err := switched(response); err != nil {
			response.Body.Close()
			return err
		}
	}
	if response.StatusCode >= http.StatusBadRequest && visitOf(response.Request.Context()).upload.coming() {
		response.Header.Set("Connection", "close") // the rest of the body is to be dropped
	}
	maps.DeleteFunc(response.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Skerry-") })
	return nil
}

// prepare reads a body that the gateway keeps whole. Until the body is complete the request makes
// no call, so its trace begins later.
func (p *proxy) prepare(w http.ResponseWriter, r *http.Request, v *visit) bool {
	v.sent = r
	var err error
	if v.body, err = payloadOf(r); err != nil {
		explain(w, r, err)
		return false
	}
	return true
}
