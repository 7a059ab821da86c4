package postgres

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/internal/run"
)

// lostAfter is how long a broken connection may be away before watchers see Lost. A terminated
// backend is replaced earlier.
const lostAfter = time.Second

// stayConnected runs one session after the other until ctx ends.
func (r *Registry) stayConnected(ctx context.Context) error {
	m := newModel()
	again := reconnect{r: r}
	defer again.stop()
	var patience time.Duration
	for {
		s := &session{r: r, m: m, up: again.recovered, patience: patience}
		err := s.run(ctx)
		patience = s.patience
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, errStandby):
			continue
		case errors.Is(err, errScarce):
			again.waitForBeat(ctx, s.next)
			continue
		}
		err = r.explain(err, r.role())
		worked := !s.full.IsZero()
		again.failed(err, worked)
		r.rejectTasks(unavailable(err), worked && !isTimeout(err))
		if again.pause.Wait(ctx) != nil {
			return nil
		}
	}
}

// reconnect is the state between two sessions. The goroutine of stayConnected
// owns it.
type reconnect struct {
	r          *Registry
	pause      run.Backoff
	loseTimer  *time.Timer // shows Lost to the watchers after lostAfter
	logged     string      // the last line of the log
	lastAnswer time.Time

	scarceLogged bool // the log says that connections are scarce
}

// waitForBeat waits without a connection for the next beat or a task, because other processes need
// the connection.
func (o *reconnect) waitForBeat(ctx context.Context, next time.Time) {
	o.r.visiting.Store(true)
	if !o.scarceLogged {
		o.scarceLogged = true
		o.r.log.Warn("the database has no connection left for others "+
			"(max_connections, or a CONNECTION LIMIT of the role or database); "+
			"this process connects for each heartbeat only, and sees changes by then",
			"every", o.r.cfg.tick())
	}
	wait, cancel := o.r.waitContext(ctx, time.Until(next))
	<-wait.Done()
	cancel()
}

// failed records why the session ended. Watchers see Lost at once, or after
// lostAfter when the session had worked and did not time out.
func (o *reconnect) failed(err error, worked bool) {
	o.stop()
	o.pause.Min, o.pause.Max = reconnectPauses(o.r.size.Load(), o.r.cfg.pause())
	if isTimeout(err) || sqlState(err) == tooSlow {
		o.r.raiseLimit()
	}
	switch {
	case sqlState(err) == tooMany && time.Since(o.lastAnswer) < 2*o.r.cfg.tick():
		return // a connection comes free within a heartbeat
	case worked && !isTimeout(err):
		o.loseTimer = time.AfterFunc(lostAfter, func() { o.r.publisher.Lose(unavailable(err)) })
	default:
		o.r.publisher.Lose(unavailable(err))
	}
	o.logFailure(err)
}

// logFailure writes a line when the reason has changed.
func (o *reconnect) logFailure(err error) {
	text := err.Error()
	if sqlState(err) == tooMany {
		text = "all connections that this process may have are in use " +
			"(max_connections, or a CONNECTION LIMIT of the role or database): " +
			"each process needs one, or a pooler between; " + text
	}
	if text == o.logged {
		return
	}
	o.logged = text
	level := slog.LevelInfo // the node logs the consequence for calls
	if errors.Is(err, errOldTables) || errors.Is(err, errNewTables) || errors.Is(err, ErrParameter) {
		level = slog.LevelError // only an operator can correct it
	}
	o.r.log.Log(context.Background(), level, "no database session; trying again", "err", oneLine(text))
}

func (o *reconnect) stop() {
	if o.loseTimer != nil {
		o.loseTimer.Stop()
	}
}

// recovered is called for the first answer, before watchers see it.
func (o *reconnect) recovered() {
	o.stop()
	if o.logged != "" {
		o.r.log.Info("database session stands again")
	}
	o.logged = ""
	o.lastAnswer = time.Now()
	o.pause.Reset()
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	o.r.rights = nil
}

func isTimeout(err error) bool {
	return pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)
}

// role returns the role with the rights that this process needs at present.
func (r *Registry) role() Role {
	if len(r.registrar.Wished()) == 0 {
		return roleReader
	}
	return roleService
}
