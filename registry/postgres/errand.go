package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var errNotRunning = errors.New("Run is not running")

// errand is something to do over the session's connection, which is there
// anyway: a process has no other. It is the session's from the moment when it
// leaves Registry.errands.
type errand struct {
	do   func(context.Context, *pgx.Conn) error
	done chan outcome // holds one
}

// outcome is how an errand has ended; begun is false when no session took it.
type outcome struct {
	err   error
	begun bool
}

// with has the session do something, or the next one when it has just ended, at
// most three times: a connection may have died unnoticed. While no session
// comes about it returns why. f may be repeated, has limit, and may go on for so
// long when ctx has ended: to stop it would cost the connection. need is the
// role whose rights f needs.
func (r *Registry) with(ctx context.Context, need Role, f func(context.Context, *pgx.Conn) error) error {
	for range 3 {
		out := r.send(ctx, f)
		if out.err == nil {
			return nil
		}
		if !out.begun || !stale(out.err) || ctx.Err() != nil {
			return barred(r.explain(out.err, need))
		}
	}
	return unavailable(errors.New("the connection broke three times in a row"))
}

func (r *Registry) send(ctx context.Context, f func(context.Context, *pgx.Conn) error) outcome {
	e := &errand{do: f, done: make(chan outcome, 1)}
	r.mu.Lock()
	if !r.alive {
		r.mu.Unlock()
		return outcome{err: unavailable(errNotRunning)}
	}
	if away := r.away; away != nil {
		r.mu.Unlock()
		return outcome{err: away}
	}
	r.errands = append(r.errands, e)
	r.mu.Unlock()
	r.poke()
	select {
	case out := <-e.done:
		return out
	case <-ctx.Done():
		return outcome{err: unavailable(context.Cause(ctx)), begun: !r.drop(e)}
	}
}

// drop takes an errand back; false: it has begun.
func (r *Registry) drop(e *errand) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.errands, e)
	if i >= 0 {
		r.errands = slices.Delete(r.errands, i, i+1)
	}
	return i >= 0
}

// waiting takes all errands.
func (r *Registry) waiting() []*errand {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.errands
	r.errands = nil
	return all
}

// turnAway ends the errands that wait for a session that did not come about,
// and, if it will not come soon, all others until it does.
func (r *Registry) turnAway(err error, soon bool) {
	r.mu.Lock()
	if r.away = err; soon {
		r.away = nil
	}
	r.mu.Unlock()
	if soon {
		return
	}
	for _, e := range r.waiting() {
		e.done <- outcome{err: err}
	}
}

// runErrands does what others want done over this connection.
func (s *session) runErrands(ctx context.Context) error {
	s.r.mu.Lock()
	s.r.away = nil
	s.r.mu.Unlock()
	demoted := false
	for _, e := range s.r.waiting() {
		if s.conn.IsClosed() || demoted {
			e.done <- outcome{err: errConnectionGone, begun: true}
			continue
		}
		err := s.runErrand(ctx, e)
		if demoted = s.demoted(err); demoted {
			err = fmt.Errorf("%w: %w", errDemoted, err)
		}
		e.done <- outcome{err: err, begun: true}
	}
	if demoted {
		return errStandby
	}
	if s.conn.IsClosed() {
		return errConnectionGone
	}
	return nil
}

func (s *session) runErrand(ctx context.Context, e *errand) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	return e.do(ctx, s.conn)
}

// errConnectionGone is what an errand left behind, or found.
var errConnectionGone = errors.New("the database connection is gone: conn closed")

// stale reports errors of connections that had died before they were used.
func stale(err error) bool {
	code := sqlState(err)
	return code == "57P01" || code == "57P02" || errors.Is(err, errDemoted) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}
