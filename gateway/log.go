package gateway

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// log writes the request's line of the access log. Queries, cookies and marks
// may be secrets and are left out.
func (v *visit) log(r *http.Request, w *writer, took time.Duration, l *slog.Logger) {
	status := cmp.Or(w.status, http.StatusOK)
	if r.Context().Err() != nil && w.status == 0 {
		status = statusClosed
	}
	args := []slog.Attr{
		slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Int64("bytes", w.bytes), slog.Duration("took", took), slog.String("from", r.RemoteAddr),
	}
	if v.service != "" {
		args = append(args, slog.String("service", v.service), slog.String("version", v.version), slog.String("instance", v.instance),
			slog.Int("attempts", v.attempts), slog.String("trace", traceID(v.traceparent)))
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
