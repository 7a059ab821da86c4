package postgres

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/internal/run"
)

// blink is how long a connection that broke may be away before the registry
// calls itself lost: a terminated backend is replaced sooner.
const blink = time.Second

// stayConnected has one session after the other until ctx ends.
func (r *Registry) stayConnected(ctx context.Context) error {
	m := newModel()
	o := outage{r: r}
	defer o.stop()
	var patience time.Duration
	for {
		s := &session{r: r, m: m, up: o.over, patience: patience}
		err := s.run(ctx)
		patience = s.patience
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, errStandby):
			continue
		case errors.Is(err, errCrowded):
			o.comeBack(ctx, s.next)
			continue
		}
		err, worked := r.explain(err, r.role()), !s.full.IsZero()
		o.goesOn(err, worked)
		r.turnAway(unavailable(err), worked && !isTimeout(err))
		if o.pause.Wait(ctx) != nil {
			return nil
		}
	}
}

// outage is the time between two sessions. One goroutine owns it.
type outage struct {
	r     *Registry
	pause run.Backoff
	lose  *time.Timer // tells the watchers when the outage is more than a blink
	said  string      // the last line of the log
	heard time.Time   // the latest answer

	scarce bool // that connections are was said
}

// comeBack waits for the next beat, or for something else to do, without a
// connection: others need it.
func (o *outage) comeBack(ctx context.Context, next time.Time) {
	o.r.visiting.Store(true)
	if !o.scarce {
		o.scarce = true
		o.r.log.Warn("the database has no connection left for others (max_connections, or a CONNECTION LIMIT of the role or database); "+
			"this process connects for each heartbeat only, and sees changes by then",
			"every", o.r.cfg.tick())
	}
	wait, cancel := o.r.waitContext(ctx, time.Until(next))
	<-wait.Done()
	cancel()
}

// goesOn notes why there is no session. After one that worked, the watchers
// are told only when no other follows at once; silence has lasted long enough.
func (o *outage) goesOn(err error, worked bool) {
	o.stop()
	o.pause.Min, o.pause.Max = pauses(o.r.size.Load(), o.r.cfg.pause())
	if isTimeout(err) || sqlState(err) == tooSlow {
		o.r.overdue()
	}
	text := err.Error()
	if sqlState(err) == tooMany {
		text = "all connections that this process may have are in use (max_connections, or a CONNECTION LIMIT of the role or database): " +
			"each process needs one, or a pooler between; " + text
	}
	switch {
	case sqlState(err) == tooMany && time.Since(o.heard) < 2*o.r.cfg.tick():
		return // it gets its turn
	case worked && !isTimeout(err):
		o.lose = time.AfterFunc(blink, func() { o.r.publisher.Lose(unavailable(err)) })
	default:
		o.r.publisher.Lose(unavailable(err))
	}
	if text != o.said {
		o.said = text
		level := slog.LevelInfo // the node says what it means
		if errors.Is(err, ErrOldTables) || errors.Is(err, ErrNewTables) || errors.Is(err, ErrParameter) {
			level = slog.LevelError // no waiting mends it
		}
		o.r.log.Log(context.Background(), level, "no database session; trying again", "err", oneLine(text))
	}
}

func (o *outage) stop() {
	if o.lose != nil {
		o.lose.Stop()
	}
}

// over is called when an answer came, before it is shown.
func (o *outage) over() {
	o.stop()
	if o.said != "" {
		o.r.log.Info("database session stands again")
	}
	o.said, o.heard = "", time.Now()
	o.pause.Reset()
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	o.r.rights = nil
}

func isTimeout(err error) bool {
	return pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)
}

// role is whose rights this process needs, as far as it knows.
func (r *Registry) role() Role {
	if len(r.registrar.Wished()) == 0 {
		return Reader
	}
	return Service
}
