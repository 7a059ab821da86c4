package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// headStart is how long a host of the URL is asked before the next one is asked beside it. A host
// that is switched off never answers, and the process waits for it only when no other one serves.
const headStart = 300 * time.Millisecond

// open opens one connection. Of several hosts it prefers one that takes writes, unless the URL says
// target_session_attrs itself.
func (r *Registry) open(ctx context.Context) (*pgx.Conn, error) {
	cfg := r.config()
	hosts := hostsOf(cfg)
	if len(hosts) == 1 {
		watchCommits(cfg)
		return pgx.ConnectConfig(ctx, cfg)
	}
	check := cfg.ValidateConnect
	if check == nil {
		check = preferWrites
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	race := race{check: check, ended: make(chan attempt, len(hosts))}
	return race.run(ctx, hosts)
}

// preferWrites returns an error that makes a server the second choice when it takes no writes.
func preferWrites(ctx context.Context, conn *pgconn.PgConn) error {
	err := pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn)
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return secondChoice{err}
	}
	return err
}

// secondChoice is the reason for which a server is used only when no other one serves.
type secondChoice struct{ error }

func (e secondChoice) Unwrap() error { return e.error }

// lesser reports whether a server with this result of the check may be used when no other one serves.
func lesser(err error) bool {
	_, standby := errors.AsType[*pgconn.NotPreferredError](err)
	_, reader := errors.AsType[secondChoice](err)
	return standby || reader
}

// race connects to several hosts at once, each with a head start over the next. A host that refuses
// gives its turn away.
type race struct {
	check pgconn.ValidateConnectFunc
	ended chan attempt // has room for all, so that none waits for its reader
}

// attempt is the end of connecting to one host. A conn with an err is a second choice.
type attempt struct {
	conn *pgx.Conn
	err  error
}

// run returns the first connection that passes the check, else the first second choice.
func (r *race) run(ctx context.Context, hosts []*pgx.ConnConfig) (*pgx.Conn, error) {
	var second *pgx.Conn
	var errs []error
	next, running := 0, 0
	start := func() {
		go r.attempt(ctx, hosts[next])
		next, running = next+1, running+1
	}
	defer func() { go r.clear(context.WithoutCancel(ctx), running) }()
	turn := time.NewTicker(headStart)
	defer turn.Stop()
	for start(); running > 0; {
		select {
		case <-turn.C:
		case a := <-r.ended:
			running--
			switch {
			case a.err == nil:
				if second != nil {
					hangUp(ctx, second)
				}
				return a.conn, nil
			case a.conn != nil && second == nil:
				second = a.conn
			case a.conn != nil:
				hangUp(ctx, a.conn)
			}
			errs = append(errs, a.err)
			turn.Reset(headStart)
		}
		if next < len(hosts) {
			start()
		}
	}
	if second != nil {
		return second, nil
	}
	return nil, errors.Join(errs...)
}

// attempt connects to one host.
func (r *race) attempt(ctx context.Context, host *pgx.ConnConfig) {
	watchCommits(host)
	host.ValidateConnect = nil
	conn, err := pgx.ConnectConfig(ctx, host)
	if err == nil {
		checking, cancel := context.WithTimeout(ctx, connectTime)
		err = r.check(checking, conn.PgConn())
		cancel()
		if err != nil && !lesser(err) {
			hangUp(ctx, conn)
			conn = nil
		}
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", host.Host, host.Port, err)
		}
	}
	r.ended <- attempt{conn, err}
}

// clear ends the connections of hosts that have lost.
func (r *race) clear(ctx context.Context, running int) {
	for range running {
		if a := <-r.ended; a.conn != nil {
			hangUp(ctx, a.conn)
		}
	}
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
