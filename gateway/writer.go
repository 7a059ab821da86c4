package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// writer remembers how a response went, and who has taken over its connection.
type writer struct {
	http.ResponseWriter
	status int   // 0 until one was written
	bytes  int64 // of the body

	// hijack is called when the handler takes over the connection; what it
	// returns is called when that is closed.
	hijack func() (closed func())
}

// Unwrap lets http.ResponseController find what the connection can do.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the final status.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the body.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps the connection's own fast way of copying.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Flush is for handlers that ask for http.Flusher.
func (w *writer) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack is for handlers that ask for http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || w.hijack == nil {
		return conn, buffer, err
	}
	return &hijacked{Conn: conn, closed: sync.OnceFunc(w.hijack())}, buffer, nil
}

// hijacked tells when a connection that a handler took over is closed.
type hijacked struct {
	net.Conn
	closed func()
}

// Close closes the connection.
func (h *hijacked) Close() error {
	defer h.closed()
	return h.Conn.Close()
}

// CloseWrite closes the sending half, where there are halves.
func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
