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

// open opens one connection. Of several hosts it prefers one that takes
// writes, unless the URL says target_session_attrs itself.
func (r *Registry) open(ctx context.Context) (*pgx.Conn, error) {
	cfg := r.config()
	watchCommits(cfg)
	hosts := hostsOf(cfg)
	if len(hosts) > 1 && cfg.ValidateConnect == nil {
		return prefer(ctx, hosts)
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if len(hosts) > 1 && final[sqlState(err)] {
		return anyOf(ctx, hosts)
	}
	return conn, err
}

// final are errors at which pgx leaves the other hosts of a URL untried. A standby that lags
// reports them for objects that its primary has.
var final = map[string]bool{
	"28P01": true, // wrong password
	"3D000": true, // no such database
	"42501": true, // no right to connect
}

// anyOf connects to the first of several hosts that takes the connection.
func anyOf(ctx context.Context, hosts []*pgx.ConnConfig) (*pgx.Conn, error) {
	var errs []error
	for _, host := range hosts {
		conn, err := pgx.ConnectConfig(ctx, host)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// prefer connects to the first of several hosts that takes writes, else to the first that answers.
// It tries each host once; a dead one costs its time-out.
func prefer(ctx context.Context, hosts []*pgx.ConnConfig) (*pgx.Conn, error) {
	var second *pgx.Conn
	var errs []error
	for _, host := range hosts {
		conn, err := pgx.ConnectConfig(ctx, host)
		if err == nil {
			err = takesWrites(ctx, conn)
		}
		switch {
		case err == nil:
			if second != nil {
				hangUp(ctx, second)
			}
			return conn, nil
		case errors.Is(err, pgconn.ErrReadOnlyConnection) && second == nil:
			second = conn
		case conn != nil:
			hangUp(ctx, conn)
		}
		errs = append(errs, err)
	}
	if second != nil {
		return second, nil
	}
	return nil, errors.Join(errs...)
}

// takesWrites returns pgconn.ErrReadOnlyConnection when the server takes no writes.
func takesWrites(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn.PgConn())
}

// hostsOf returns a configuration for each host of the URL.
func hostsOf(cfg *pgx.ConnConfig) (out []*pgx.ConnConfig) {
	all := append(
		[]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}},
		cfg.Fallbacks...)
	for _, f := range all {
		if n := len(out); n > 0 && out[n-1].Host == f.Host && out[n-1].Port == f.Port {
			out[n-1].Fallbacks = append(out[n-1].Fallbacks, f) // the same host with or without TLS
			continue
		}
		one := cfg.Copy()
		one.Host = f.Host
		one.Port = f.Port
		one.TLSConfig = f.TLSConfig
		one.Fallbacks = nil
		out = append(out, one)
	}
	return out
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
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return first + " " + strings.Join(lines, "; ")
}
