package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"

	"github.com/skerry/skerry/rpc"
)

// newProxy is the handler of a route to HTTP services.
func newProxy(g *Gateway, r Route) http.Handler {
	up := newUpstream(g, r)
	g.ups = append(g.ups, up)
	prefix := strings.TrimSuffix(r.below(), "/")
	p := &httputil.ReverseProxy{
		Transport:     up,
		FlushInterval: -1, // streams must not wait
		ErrorHandler:  explain,
		ErrorLog:      slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug), // the access log says it, too
		Rewrite: func(pr *httputil.ProxyRequest) {
			a := &visitOf(pr.In.Context()).arrival
			pr.SetXForwarded()
			setTrace(pr.Out.Header, a.traceparent, a.state, a.baggage)
			if r.Strip {
				pr.Out.URL.Path = stripped(pr.In.URL.Path, prefix)
				pr.Out.URL.RawPath = ""
			}
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !atHand(req) {
			_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 does it anyway
		}
		p.ServeHTTP(w, req)
	})
}

// stripped is the path without the route's, still beginning with a slash.
func stripped(path, prefix string) string {
	rest, _ := strings.CutPrefix(path, prefix)
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return rest
}

// explain answers a request that no upstream has answered.
func explain(w http.ResponseWriter, r *http.Request, err error) {
	visitOf(r.Context()).err = err
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, err.Error(), status)
}

// statusClosed is what access logs show for a client that left before its
// response; nobody receives it.
const statusClosed = 499

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var timeout net.Error
	var big *http.MaxBytesError
	switch code := rpc.CodeOf(err); {
	case errors.As(err, &big), code == rpc.TooLarge:
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errBody):
		return http.StatusBadRequest
	case errors.Is(err, context.Canceled), code == rpc.Canceled:
		return statusClosed
	case errors.Is(err, errUnexecuted):
		return http.StatusServiceUnavailable
	case code == rpc.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case code != rpc.Unknown && rpc.SafeToRetry(err):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// errUnexecuted is wrapped by errors of requests that nobody has executed.
var errUnexecuted = errors.New("not executed")

func unexecuted(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUnexecuted, fmt.Errorf(format, args...))
}
