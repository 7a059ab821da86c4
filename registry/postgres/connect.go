package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/registry"
)

// connect opens one connection, with fewer start-up parameters when some are
// refused.
func (r *Registry) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx = context.WithValue(ctx, connecting{}, true)
	for {
		conn, err := r.open(ctx)
		if err == nil {
			if err = r.verify(ctx, conn); err != nil {
				hangUp(ctx, conn)
				return nil, err
			}
			return conn, nil
		}
		again, err := r.refused(err)
		if !again {
			return nil, err
		}
	}
}

// open opens one connection. Of several hosts it prefers one that takes
// writes, unless the URL says target_session_attrs itself.
func (r *Registry) open(ctx context.Context) (*pgx.Conn, error) {
	cfg := r.config()
	if severalHosts(cfg) && cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		if conn, err := pgx.ConnectConfig(ctx, cfg); err == nil {
			return conn, nil
		}
		cfg = r.config()
	}
	return pgx.ConnectConfig(ctx, cfg)
}

func (r *Registry) config() *pgx.ConnConfig {
	cfg := r.conn.Copy()
	r.mu.Lock()
	defer r.mu.Unlock()
	cfg.RuntimeParams = r.params()
	if r.plain {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // a pooler shares sessions: no named statements
	}
	if limit := r.limit(); limit > stmtTime {
		if !severalHosts(cfg) {
			cfg.ConnectTimeout = max(cfg.ConnectTimeout, limit)
		}
		if cfg.RuntimeParams["statement_timeout"] == serverLimit(stmtTime) {
			cfg.RuntimeParams["statement_timeout"] = serverLimit(limit)
		}
	}
	return cfg
}

// sqlState is the server's code of an error, "" for errors of other origin.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func unavailable(err error) error {
	if _, said := err.(*unavailableError); said {
		return err
	}
	return &unavailableError{err}
}

// unavailableError is registry.ErrUnavailable with its cause.
type unavailableError struct{ cause error }

func (e *unavailableError) Error() string {
	return registry.ErrUnavailable.Error() + ": " + oneLine(e.cause.Error())
}
func (e *unavailableError) Unwrap() []error { return []error{registry.ErrUnavailable, e.cause} }

// oneLine makes pgx's list of attempts, a line for each address and each try
// of it, fit for a log.
func oneLine(text string) string {
	first, rest, many := strings.Cut(text, "\n")
	if !many {
		return text
	}
	var lines []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return first + " " + strings.Join(lines, "; ")
}
