package gateway

import (
	"cmp"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/webpath"
)

// log writes the request's line of the access log. It leaves out queries, cookies and marks, which
// may be secrets.
func (v *visit) log(r *http.Request, w *writer, took time.Duration, l *slog.Logger) {
	status := cmp.Or(w.status, http.StatusOK)
	if r.Context().Err() != nil && w.status == 0 {
		status = statusClosed
	}
	args := []slog.Attr{
		slog.String("request", v.id), slog.String("method", shown(r.Method)), slog.String("host", shown(r.Host)),
		slog.String("path", shown(cmp.Or(r.URL.RawPath, r.URL.EscapedPath()))),
		slog.Int("status", status), slog.Int64("bytes", w.bytes.Load()), slog.Duration("took", took),
		slog.String("from", r.RemoteAddr),
	}
	if v.from.client != "" && !strings.HasPrefix(r.RemoteAddr, v.from.client) {
		args = append(args, slog.String("client", v.from.client))
	}
	if v.service != "" {
		args = append(args, slog.String("service", v.service))
	}
	if v.traceparent != "" {
		args = append(args, slog.String("version", v.version), slog.String("instance", v.instance),
			slog.Int("attempts", v.attempts), slog.String("trace", traceID(v.traceparent)))
	}
	if w.idled.Load() {
		args = append(args, slog.String("end", "idle"))
	}
	if v.mark != "" {
		args = append(args, slog.Bool("preview", true))
	}
	level := slog.LevelInfo
	if v.err != nil {
		args = append(args, slog.String("err", v.err.Error()))
		level = slog.LevelWarn
	}
	l.LogAttrs(r.Context(), level, "request", args...)
}

// shown is a client's text as the log shows it: short, and without characters that a terminal or a
// reader of the log would interpret.
func shown(s string) string {
	s = webpath.Clip(s)
	for _, c := range s {
		if c < ' ' || c > '~' && c != '…' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}
