package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// resendLimit is the size up to which a body is kept, so that the request can
// be sent again when it was certainly not executed.
const resendLimit = 64 << 10

// errBody is wrapped when the client did not send the body that it promised.
var errBody = errors.New("read the request's body")

// errStalled is the cause when the body did not come on.
var errStalled = errors.New("too little of the body came")

// atHand reports whether a request's body can be kept as a whole.
func atHand(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.ContentLength <= resendLimit
}

// payload is a request's body, prepared for several attempts.
type payload struct {
	text   []byte  // all of it, when it is at hand
	stream *stream // nil otherwise
}

// payloadOf reads a body that is kept as a whole.
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

// whole reports that none of it was read, or that it can be read again.
func (p payload) whole() bool { return p.stream == nil || !p.stream.begun.Load() }

// fault is why reading the client's body failed, nil when it did not.
func (p payload) fault() error {
	if p.stream == nil {
		return nil
	}
	if err := p.stream.failed.Load(); err != nil {
		return *err
	}
	return nil
}

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
	begun  atomic.Bool
	failed atomic.Pointer[error]
	end    func() // called at the body's end; nil: nothing is
}

// trailers has the fields behind the body passed on, once it has come to its
// end: those of the client's that were announced and may pass.
func (s *stream) trailers(from *http.Request, to http.Header) {
	s.end = func() {
		for name := range to {
			to[name] = from.Trailer[name]
		}
	}
}

// Read reads, and remembers it.
func (s *stream) Read(p []byte) (int, error) {
	s.begun.Store(true)
	n, err := s.Reader.Read(p)
	if err == io.EOF && s.end != nil {
		s.end()
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errBody, err)
		s.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close does nothing: the server closes what it has made.
func (s *stream) Close() error { return nil }

// bodyStep is how much of a body must come within Config.BodyIdle of waiting
// for it: bytes that drip in are no progress.
const bodyStep = 1 << 10

// restLimit is how long what is left of a body is waited for after the response.
const restLimit = 5 * time.Second

// pacedBody ends the reading of a body whose client sends too little. Only
// time is counted in which the handler waits for the client.
type pacedBody struct {
	io.ReadCloser
	conn   *http.ResponseController
	client *client       // nil: another server's
	idle   time.Duration // negative: no limit
	sent   func() int64  // bytes of the response so far; progress is progress of either
	plain  bool          // HTTP/1.1, or before

	mu      sync.Mutex
	timer   *time.Timer
	left    time.Duration // of the window
	got     int           // in the window
	seen    int64         // sent, at the window's begin
	reading bool
	stalled bool
	ended   bool
	over    bool
}

// pace limits how slowly the body of a request may come; stop must be called
// when the handler returns. It returns nil for a request without a
// body.
func pace(w http.ResponseWriter, r *http.Request, idle time.Duration, sent func() int64) *pacedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &pacedBody{
		ReadCloser: r.Body, conn: http.NewResponseController(w), idle: idle, left: idle, sent: sent, plain: r.ProtoMajor == 1,
	}
	if b.plain {
		b.client, _ = r.Context().Value(clientKey{}).(*client)
	}
	r.Body = b
	return b
}

// Read reads, for as long as the body comes on.
func (b *pacedBody) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, http.ErrBodyReadAfterClose
	}
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	return n, b.leave(n, time.Since(begun), err)
}

func (b *pacedBody) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false
	}
	b.reading = true
	if b.idle < 0 {
		return true
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(b.left, b.expire)
	} else {
		b.timer.Reset(max(b.left, 0))
	}
	return true
}

func (b *pacedBody) leave(n int, took time.Duration, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	b.reading = false
	b.left -= took
	if b.got += n; b.got >= bodyStep {
		b.refill()
	}
	switch {
	case err == io.EOF:
		b.ended = true
	case err != nil && b.stalled:
		return fmt.Errorf("%w: less than %d bytes in %v", errStalled, bodyStep, b.idle)
	}
	return err
}

func (b *pacedBody) refill() {
	b.left, b.got, b.seen = b.idle, 0, b.sent()
}

// expire ends the read that waits, unless the response has gone on.
func (b *pacedBody) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.reading:
	case b.sent() > b.seen:
		b.refill()
		b.timer.Reset(b.idle)
	default:
		b.stalled = true
		_ = b.conn.SetReadDeadline(time.Unix(1, 0)) // a connection that can't is closed by its server
	}
}

// coming reports whether some of the body may yet come.
func (b *pacedBody) coming() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended
}

// stop lets nothing of the body be read any more by the handler.
func (b *pacedBody) stop() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
	}
	if b.client != nil && !b.ended {
		b.client.unread.Store(true)
	}
	if !b.ended && !b.stalled {
		_ = b.conn.SetReadDeadline(time.Now().Add(restLimit)) // for what the server itself reads on
	}
}

// finish ends the body behind an answer of HTTP/1.1 that has not waited for
// it: what reads it for the service stops, and the connection is closed when
// the client has got the answer. The body is let go of here, since the server
// breaks off when it ends while the server does so.
func (b *pacedBody) finish(answer *writer) {
	b.stop()
	if !b.coming() || !b.plain {
		return
	}
	if b.client != nil {
		_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	} else {
		answer.Flush()
	}
	if answer.Header().Get("Connection") != "close" {
		_ = b.Close()
	}
}
