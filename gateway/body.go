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

// resendLimit is the largest body that the gateway keeps. A kept body allows sending the request
// again when no instance has executed it.
const resendLimit = 64 << 10

// errBody is wrapped when the client has not sent the body that it announced.
var errBody = errors.New("read the request's body")

// errStalled is the cause when the body makes too little progress.
var errStalled = errors.New("too little of the body came")

// atHand reports whether the gateway can keep the whole body of a request.
func atHand(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.ContentLength <= resendLimit
}

// payload is a request's body, prepared for several attempts.
type payload struct {
	text   []byte  // the whole body, when the gateway keeps it
	stream *stream // nil otherwise
}

// payloadOf reads a body that the gateway keeps whole.
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

// whole reports that the body is unread, or that it can be read again.
func (p payload) whole() bool { return p.stream == nil || !p.stream.begun.Load() }

// fault is the error of reading the client's body, nil when reading has not failed.
func (p payload) fault() error {
	if p.stream == nil {
		return nil
	}
	if err := p.stream.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// put sets the body of an attempt.
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

// stream is a body that a further attempt can use while no attempt has read it.
type stream struct {
	io.Reader
	begun  atomic.Bool
	failed atomic.Pointer[error]
	end    func() // called at the body's end; may be nil
}

// trailers passes the fields behind the body on, once the body has come to its end: the client's
// fields that were announced and may pass.
func (s *stream) trailers(from *http.Request, to http.Header) {
	s.end = func() {
		for name := range to {
			to[name] = from.Trailer[name]
		}
	}
}

// Read reads the body and notes that reading has begun.
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

// Close does nothing: the server closes the body that it has made.
func (s *stream) Close() error { return nil }

// bodyStep is how much of a body must arrive within Config.BodyIdle, while the handler waits for
// it. Single bytes that drip in do not count as progress.
const bodyStep = 1 << 10

// restLimit is how long the server waits for the rest of a body after the response.
const restLimit = 5 * time.Second

// pacedBody ends the reading of a body when its client sends too little. Only the time counts in
// which the handler waits for the client.
type pacedBody struct {
	io.ReadCloser
	conn   *http.ResponseController
	client *client       // nil: the connection of another server
	idle   time.Duration // negative: no limit
	sent   func() int64  // bytes of the response so far; progress of the response counts as progress of the body
	plain  bool          // HTTP/1.1 or older
	step   int           // bytes that count as progress

	mu      sync.Mutex
	timer   *time.Timer
	left    time.Duration // of the window
	got     int           // in the window
	seen    int64         // value of sent when the window began
	reading bool
	stalled bool
	ended   bool
	over    bool
}

// pace limits how slowly the body of a request may arrive. The caller must call stop when the
// handler returns. pace returns nil for a request without a body.
func pace(w http.ResponseWriter, r *http.Request, idle time.Duration, sent func() int64) *pacedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &pacedBody{
		ReadCloser: r.Body, conn: http.NewResponseController(w), idle: idle, left: idle, sent: sent,
		plain: r.ProtoMajor == 1, step: bodyStep,
	}
	if b.plain {
		b.client, _ = r.Context().Value(clientKey{}).(*client)
	}
	r.Body = b
	return b
}

// Read reads while the body makes progress.
func (b *pacedBody) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, http.ErrBodyReadAfterClose
	}
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	return n, b.leave(n, time.Since(begun), err)
}

// relax lets the body of a stream be silent for so long. Each byte counts then. The request must not be in a Read.
func (b *pacedBody) relax(idle time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle, b.step = idle, 1
	b.refill()
}

// interrupt ends the waiting read and all later ones, because nothing takes the body any more.
func (b *pacedBody) interrupt() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over && !b.ended {
		b.stalled = true
		_ = b.conn.SetReadDeadline(time.Unix(1, 0)) // the server closes a connection that cannot set it
	}
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
	if b.got += n; b.got >= b.step {
		b.refill()
	}
	switch {
	case err == io.EOF:
		b.ended = true
	case err != nil && b.stalled:
		return fmt.Errorf("%w: less than %d bytes in %v", errStalled, b.step, b.idle)
	}
	return err
}

func (b *pacedBody) refill() {
	b.left, b.got, b.seen = b.idle, 0, b.sent()
}

// expire ends the waiting read, unless the response has made progress.
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
		_ = b.conn.SetReadDeadline(time.Unix(1, 0)) // the server closes a connection that cannot set it
	}
}

// coming reports whether more of the body may arrive.
func (b *pacedBody) coming() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended
}

// stop keeps the handler from reading more of the body.
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
		_ = b.conn.SetReadDeadline(time.Now().Add(restLimit)) // for the bytes that the server itself still reads
	}
}

// finish ends the body behind an answer of HTTP/1.1 that has not waited for it. The service's
// reader of the body stops, and the connection is closed when the client has got the answer. finish
// releases the body here, because the server breaks off if the body ends while the server does so.
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
