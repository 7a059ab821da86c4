package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// resendLimit is the size up to which a body is kept, so that the request can
// be sent again when it was certainly not executed.
const resendLimit = 64 << 10

// errBody is wrapped when the client did not send the body that it promised.
var errBody = errors.New("read the request's body")

// atHand reports whether a request's body can be kept as a whole.
func atHand(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.ContentLength <= resendLimit
}

// payload is a request's body, prepared for several attempts.
type payload struct {
	text   []byte  // all of it, when it is at hand
	stream *stream // nil otherwise
}

func payloadOf(r *http.Request) (p payload, err error) {
	switch {
	case !atHand(r):
		p.stream = &stream{Reader: r.Body}
	case r.ContentLength > 0:
		p.text, err = io.ReadAll(r.Body)
		if err != nil {
			err = fmt.Errorf("%w: %w", errBody, err)
		}
	}
	return p, err
}

// none reports that the request has no body.
func (p payload) none() bool { return len(p.text) == 0 && p.stream == nil }

// whole reports that nobody has read of it, or that it can be read again.
func (p payload) whole() bool { return p.stream == nil || !p.stream.begun.Load() }

// put makes it the body of an attempt.
func (p payload) put(r *http.Request) {
	switch {
	case p.stream != nil:
		r.Body = p.stream
	case len(p.text) == 0:
		r.Body = nil
	default:
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.text)), nil }
		r.Body, _ = r.GetBody()
	}
}

// stream is a body that survives an attempt which did not read it.
type stream struct {
	io.Reader
	begun atomic.Bool
}

// Read reads, and remembers that somebody did.
func (s *stream) Read(p []byte) (int, error) {
	s.begun.Store(true)
	return s.Reader.Read(p)
}

// Close does nothing: the server closes what it has made.
func (s *stream) Close() error { return nil }
