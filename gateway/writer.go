package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// writer records the progress of a response, and the handler that has taken over its connection.
type writer struct {
	http.ResponseWriter
	status int          // 0 until one was written
	begun  atomic.Bool  // a final status was written
	bytes  atomic.Int64 // of the body, or of a taken-over connection

	idle      time.Duration // of a taken-over connection that is silent both ways; 0 or less means no limit
	limit     time.Duration // for a client to read the written bytes; 0 or less means none
	perStream bool          // a connection carries several responses: HTTP/2
	idled     atomic.Bool   // a taken-over connection was silent for too long

	answered func() // called when the final response begins; may be nil

	// hijack is called when the handler takes over the connection. The function that it returns is
	// called when the connection is closed.
	hijack func() (closed func())
}

// Unwrap gives http.ResponseController access to the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the final status.
func (w *writer) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// begin notes that the final response begins.
func (w *writer) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	w.begun.Store(true)
	if w.answered != nil {
		w.answered()
	}
}

// Write counts the body.
func (w *writer) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	if w.perStream && w.limit > 0 { // an HTTP/1.1 connection has its own limit
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.limit))
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes.Add(int64(n))
	return n, err
}

// sent is the number of written bytes of the response.
func (w *writer) sent() int64 { return w.bytes.Load() }

// ReadFrom keeps the connection's fast way of copying.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes.Add(n)
	return n, err
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return conn, buffer, err
	}
	w.begin(http.StatusSwitchingProtocols)
	h := &hijacked{Conn: conn, w: w, closed: func() {}}
	if w.hijack != nil {
		h.closed = sync.OnceFunc(w.hijack())
	}
	if w.idle > 0 {
		h.timer = time.AfterFunc(w.idle, func() {
			w.idled.Store(true)
			h.Close()
		})
	}
	return h, buffer, nil
}

// hijacked is a connection that a handler took over. It counts bytes, closes after too long a
// silence, and reports its closing.
type hijacked struct {
	net.Conn
	w      *writer
	closed func()
	timer  *time.Timer // nil without a limit
}

// Read reads from the client.
func (h *hijacked) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.moved(n)
	return n, err
}

// Write writes to the client.
func (h *hijacked) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	h.moved(n)
	h.w.bytes.Add(int64(n))
	return n, err
}

func (h *hijacked) moved(n int) {
	if n > 0 && h.timer != nil && !h.w.idled.Load() {
		h.timer.Reset(h.w.idle)
	}
}

// Close closes the connection.
func (h *hijacked) Close() error {
	if h.timer != nil {
		h.timer.Stop()
	}
	defer h.closed()
	return h.Conn.Close()
}

// CloseWrite closes the sending half, where the connection has halves.
func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
