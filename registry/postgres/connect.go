package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/registry"
)

// connect opens one connection. It tries again with fewer start-up parameters when the server or
// pooler refuses some.
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

// connectLimit bounds one attempt to connect to every host of the URL.
func (r *Registry) connectLimit() time.Duration {
	all := time.Duration(len(hostsOf(r.conn))) * max(r.conn.ConnectTimeout, connectTime)
	return max(2*r.limit(), all) + r.limit()
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

// sqlState is the server's code of an error, or "" for an error of another origin.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// unavailable wraps an error with registry.ErrUnavailable, once.
func unavailable(err error) error {
	if errors.Is(err, registry.ErrUnavailable) {
		return err
	}
	return &unavailableError{err}
}

// unavailableError is registry.ErrUnavailable with a cause.
type unavailableError struct{ cause error }

func (e *unavailableError) Error() string {
	return registry.ErrUnavailable.Error() + ": " + oneLine(e.cause.Error())
}
func (e *unavailableError) Unwrap() []error { return []error{registry.ErrUnavailable, e.cause} }

// oneLine puts pgx's list of attempts into one line for the log. pgx writes a line for each address
// and each attempt.
func oneLine(text string) string {
	first, rest, many := strings.Cut(text, "\n")
	if !many {
		return text
	}
	var lines []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line != "" && line != first && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return first + " " + strings.Join(lines, "; ")
}
