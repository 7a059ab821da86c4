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

// connect opens one connection. Of several hosts it prefers one that takes
// writes, unless the URL says target_session_attrs itself.
func (r *Registry) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx = context.WithValue(ctx, connecting{}, true)
	cfg := r.config()
	if severalHosts(cfg) && cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		if conn, err := pgx.ConnectConfig(ctx, cfg); err == nil {
			return conn, nil
		}
		cfg = r.config()
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil && r.refusesParameters(err) {
		conn, err = pgx.ConnectConfig(ctx, r.config())
	}
	return conn, err
}

func (r *Registry) config() *pgx.ConnConfig {
	cfg := r.conn.Copy()
	if limit := r.limit(); limit > stmtTime {
		if !severalHosts(cfg) {
			cfg.ConnectTimeout = max(cfg.ConnectTimeout, limit)
		}
		if cfg.RuntimeParams["statement_timeout"] == serverLimit(stmtTime) {
			cfg.RuntimeParams["statement_timeout"] = serverLimit(limit)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.plain {
		plain(cfg)
	}
	return cfg
}

// refusesParameters notes a server that does not take our start-up parameters:
// a pooler (protocol violation), one without TCP_USER_TIMEOUT, or an old one.
func (r *Registry) refusesParameters(err error) bool {
	code := sqlState(err)
	if code != "08P01" && code != "22023" && code != "42704" || !strings.Contains(err.Error(), "parameter") {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.plain { // another connection may have been told so first
		r.plain = true
		r.log.Info("the server takes no start-up parameters; going on without", "err", err)
	}
	return true
}

// sqlState is the server's code of an error, "" for errors of other origin.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func unavailable(err error) error { return &unavailableError{err} }

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
