package config

import (
	"log/slog"
	"os"

	"github.com/skerry/skerry/internal/quote"
)

// Logger is the logger of this configuration, for programs that log in the same way; it writes to
// stderr. No attribute can forge a line or a control sequence, in either format.
func (c Log) Logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked by Validate
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(quote.JSONWriter(os.Stderr), o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
