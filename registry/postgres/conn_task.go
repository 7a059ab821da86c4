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

// connTask is work for the session's connection, the only one of the process. The session owns a
// task once it has left Registry.tasks.
type connTask struct {
	do   func(context.Context, *pgx.Conn) error
	done chan taskResult // holds one
}

// taskResult is how a task has ended; begun is false when no session took it.
type taskResult struct {
	err   error
	begun bool
}

// withConn runs f over the session's connection. When that connection was dead, f runs again over
// the next one, three times in all, so f must be safe to repeat. f may run until the statement
// limit, also after ctx has ended, because an interruption would cost the connection. need is the
// role with the rights for f. While there is no session, withConn returns the reason.
func (r *Registry) withConn(ctx context.Context, need Role, f func(context.Context, *pgx.Conn) error) error {
	for range 3 {
		result := r.submit(ctx, f)
		if result.err == nil {
			return nil
		}
		if !result.begun || !diedUnused(result.err) || ctx.Err() != nil {
			return explainReadOnly(r.explain(result.err, need))
		}
	}
	return unavailable(errors.New("the connection broke three times in a row"))
}

// submit queues f for the session and waits for its result.
func (r *Registry) submit(ctx context.Context, f func(context.Context, *pgx.Conn) error) taskResult {
	task := &connTask{do: f, done: make(chan taskResult, 1)}
	r.mu.Lock()
	if !r.alive {
		r.mu.Unlock()
		return taskResult{err: unavailable(errNotRunning)}
	}
	if away := r.away; away != nil {
		r.mu.Unlock()
		return taskResult{err: away}
	}
	r.tasks = append(r.tasks, task)
	r.mu.Unlock()
	r.poke()
	select {
	case result := <-task.done:
		return result
	case <-ctx.Done():
		return taskResult{err: unavailable(context.Cause(ctx)), begun: !r.cancelTask(task)}
	}
}

// cancelTask takes a task off the queue. It reports false when the task has begun.
func (r *Registry) cancelTask(task *connTask) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.tasks, task)
	if i >= 0 {
		r.tasks = slices.Delete(r.tasks, i, i+1)
	}
	return i >= 0
}

// takeTasks empties the queue.
func (r *Registry) takeTasks() []*connTask {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.tasks
	r.tasks = nil
	return all
}

// rejectTasks fails the queued tasks. Later tasks fail at once until there is a
// session. When a session is expected soon, tasks stay queued for it instead.
func (r *Registry) rejectTasks(err error, soon bool) {
	r.mu.Lock()
	if soon {
		r.away = nil
	} else {
		r.away = err
	}
	r.mu.Unlock()
	if soon {
		return
	}
	for _, task := range r.takeTasks() {
		task.done <- taskResult{err: err}
	}
}

// runTasks runs the queued tasks over this connection.
func (s *session) runTasks(ctx context.Context) error {
	s.r.mu.Lock()
	s.r.away = nil
	s.r.mu.Unlock()
	demoted := false
	for _, task := range s.r.takeTasks() {
		if s.conn.IsClosed() || demoted {
			task.done <- taskResult{err: errConnectionGone, begun: true}
			continue
		}
		err := s.runTask(ctx, task)
		if demoted = s.demoted(err); demoted {
			err = fmt.Errorf("%w: %w", errDemoted, err)
		}
		task.done <- taskResult{err: err, begun: true}
	}
	if demoted {
		return errStandby
	}
	if s.conn.IsClosed() {
		return errConnectionGone
	}
	return nil
}

func (s *session) runTask(ctx context.Context, task *connTask) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	return serially(ctx, func() error { return task.do(ctx, s.conn) })
}

// errConnectionGone: the connection was closed before a task began or while it ran.
var errConnectionGone = errors.New("the database connection is gone: conn closed")

// diedUnused reports errors of connections that were dead before they were used.
func diedUnused(err error) bool {
	code := sqlState(err)
	return code == "57P01" || code == "57P02" || errors.Is(err, errDemoted) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}
