package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/skerry/skerry/rpc"
)

// headerRequest gives the client the id of a request that the gateway itself has answered. The
// access log names the request by the same id.
const headerRequest = "X-Request-Id"

func newRequestID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// refusal is an answer that the gateway itself gives. Its text is for the client.
type refusal struct {
	status int
	text   string
}

// Error returns the text.
func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// refuse answers a request for which nothing was done.
func (v *visit) refuse(w http.ResponseWriter, r *refusal) {
	v.err = r
	v.answer(w, r.status, r.text)
}

// answer writes an answer that the gateway itself gives, with the id of the request.
func (v *visit) answer(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set(headerRequest, v.id)
	if v.upload.coming() {
		h.Set("Connection", "close")
	}
	switch status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	case http.StatusUpgradeRequired:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", webSocket)
		h.Set("Sec-WebSocket-Version", "13")
	}
	text += "\nrequest " + v.id + "\n"
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may have left
}

// explain answers a request that no upstream has answered.
func explain(w http.ResponseWriter, r *http.Request, err error) {
	v := visitOf(r.Context())
	v.err = err
	status := v.status(err)
	if wait, known := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); known {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(wait.RetryAfter().Seconds())))))
	}
	v.answer(w, status, textOf(status, err))
}

// status is the HTTP status for an error. The client may have caused the error: a body that stops
// also ends the request's context.
func (v *visit) status(err error) int {
	if cause := v.body.fault(); cause != nil && (errors.Is(cause, errStalled) || !errors.Is(err, context.Canceled)) {
		err = cause
	}
	return statusOf(err)
}

// textOf returns the text that a client needs to know of an error. The text of the error itself
// names instances and versions of the site, so only the log shows it.
func textOf(status int, err error) string {
	var own *refusal
	switch {
	case errors.As(err, &own):
		return own.text
	case status == http.StatusRequestTimeout:
		return "the request's body did not come on"
	case status == http.StatusBadRequest:
		return "the request's body did not come to its end"
	case status == http.StatusRequestEntityTooLarge:
		return "the request's body is too large"
	case status == http.StatusForbidden:
		return "the site's policy does not allow the request; it was not executed"
	case status == http.StatusTooManyRequests:
		return "the site's policy limits such requests; it was not executed"
	case status == http.StatusServiceUnavailable:
		return "no instance can take the request now; it was not executed"
	case status == http.StatusGatewayTimeout:
		return "the service did not answer in time"
	}
	return "the service broke the request off, or gave no valid answer"
}

// statusClosed is the status in access logs for a client that left before its response. No client
// receives it.
const statusClosed = 499

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var own *refusal
	var timeout net.Error
	var big *http.MaxBytesError
	switch code := rpc.CodeOf(err); {
	case errors.As(err, &own):
		return own.status
	case errors.As(err, &big), code == rpc.TooLarge:
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errStalled):
		return http.StatusRequestTimeout
	case errors.Is(err, errBody):
		return http.StatusBadRequest
	case code == rpc.NoInstance, code == rpc.VersionUnavailable:
		return http.StatusServiceUnavailable
	case errors.Is(err, context.Canceled), code == rpc.Canceled:
		return statusClosed
	case code == rpc.AccessDenied:
		return http.StatusForbidden
	case code == rpc.Limited:
		return http.StatusTooManyRequests
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

// errUnexecuted is wrapped by errors of requests that no instance has executed.
var errUnexecuted = errors.New("not executed")

func unexecuted(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUnexecuted, fmt.Errorf(format, args...))
}
