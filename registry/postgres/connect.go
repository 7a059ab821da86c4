package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/skerry/skerry/registry"
)

// connect opens one connection. Of several hosts it prefers one that takes
// writes, unless the URL says target_session_attrs itself.
func (r *Registry) connect(ctx context.Context) (*pgx.Conn, error) {
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

// spare returns the pool for what does not go over the session's connection.
// It opens a connection when one is needed and closes it when it is not.
func (r *Registry) spare() (*pgxpool.Pool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool != nil {
		return r.pool, nil
	}
	if !r.alive {
		return nil, errNotRunning
	}
	cfg, err := pgxpool.ParseConfig(r.cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig = r.conn.Copy()
	if severalHosts(cfg.ConnConfig) && cfg.ConnConfig.ValidateConnect == nil {
		cfg.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = 2, 0, 0
	cfg.MaxConnIdleTime, cfg.HealthCheckPeriod = 20*time.Second, 10*time.Second
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.plain {
			plain(c)
		}
		return nil
	}
	// Without a context of its own the pool lives until Close.
	r.pool, err = pgxpool.NewWithConfig(context.Background(), cfg)
	return r.pool, err
}

var errNotRunning = errors.New("Run is not running")

// with runs f on a spare connection, at most three times: connections that
// waited in the pool may have died there. f may be repeated.
func (r *Registry) with(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	pool, err := r.spare()
	if err != nil {
		return unavailable(err)
	}
	for range 3 {
		if err = r.once(ctx, pool, f); err == nil || !stale(err) || ctx.Err() != nil {
			break
		}
	}
	return r.explain(err)
}

func (r *Registry) once(ctx context.Context, pool *pgxpool.Pool, f func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime+stmtTime)
	defer cancel()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		if r.refusesParameters(err) {
			pool.Reset()
		}
		return err
	}
	defer conn.Release()
	return f(ctx, conn)
}

// stale reports errors of connections that had died before they were used.
func stale(err error) bool {
	code := sqlState(err)
	return code == "57P01" || code == "57P02" || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "parameter")
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
