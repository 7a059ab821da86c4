package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

var (
	errNoCluster = errors.New("the rows of the cluster are missing")
	errStandby   = errors.New("connected to a standby; looking for the primary")
)

// maxSpread bounds how long the readers of a hint spread over, in ms.
const maxSpread = 2000

// session is one life of the connection that beats, reads and listens.
type session struct {
	r    *Registry
	m    *model
	conn *pgx.Conn
	up   func() // called when an answer came

	writable  bool // the connection may write, as far as the server said
	standby   bool
	listening bool

	connected time.Time
	next      time.Time       // the beat
	full      time.Time       // the latest read of everything; zero: none in this session
	refused   time.Time       // a beat, though we may write; zero: the latest one was not
	read      map[string]bool // services that the model is complete for
	readAll   bool            // it is complete for all
	rules     bool            // the rule log is to be read
	ruled     bool            // beats look at the rule log
	trusting  bool            // the latest answer showed that somebody marks the dead

	beats   int  // in this session
	slow    int  // in a row that the server gave up
	crowded bool // the server has hardly a connection left: this one is given back

	quiet  int  // reads in a row that brought what no notification had
	odd    bool // a row that skerry did not write was reported
	tight  bool // that a table could not be repacked was reported
	silent bool // that notifications don't arrive was reported
}

func (s *session) run(ctx context.Context) error {
	dial, cancel := context.WithTimeout(ctx, 2*s.r.limit()+time.Second)
	conn, err := s.r.connect(dial)
	cancel()
	if err != nil {
		return err
	}
	s.conn = conn
	defer hangUp(ctx, conn)
	if err := s.hello(ctx); err != nil {
		return err
	}
	s.r.registrar.Retry()
	s.connected = time.Now()
	s.next = s.connected // at once, then spread over the period
	spread := run.Jitter(s.r.cfg.tick(), 0.5)
	for {
		if err := s.duties(ctx); err != nil {
			return err
		}
		if spread > 0 {
			s.next, spread = time.Now().Add(spread), 0
		}
		if s.crowded && s.r.tellAt().IsZero() {
			return errCrowded
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// hello learns where the connection has led to, and makes what is missing.
func (s *session) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit()+schemaTime)
	defer cancel()
	missing, err := s.ask(ctx)
	if err != nil {
		return err
	}
	if missing == 0 {
		return nil
	}
	if err := s.upgrade(ctx, missing); err != nil || !s.writable {
		return err
	}
	return s.join(ctx)
}

// upgrade makes the tables that are missing, and the column that tells
// versions in statistics. A user who may not make the table of the rule log,
// or the column, does without.
func (s *session) upgrade(ctx context.Context, missing int) error {
	failed := fmt.Errorf("%d tables or columns of skerry are missing, and this is a standby", missing)
	if !s.standby {
		failed = s.r.createSchema(ctx, s.conn)
	}
	if failed != nil {
		args := s.r.args()
		args["tables"] = slices.DeleteFunc(slices.Clone(tables), func(t string) bool { return t == ruleTable })
		var needed int
		err := s.conn.QueryRow(ctx, "SELECT count(*) FROM unnest(@tables::text[]) t WHERE to_regclass(t) IS NULL", args).Scan(&needed)
		if err != nil || needed > 0 {
			return failed
		}
		s.r.log.Info("the tables are of an older version: everything works but releases (before version 2) and versions in statistics (before 3)", "err", failed)
	}
	_, err := s.ask(ctx)
	return err
}

func (s *session) ask(ctx context.Context) (missing int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	asked := time.Now()
	var now int64
	err = s.conn.QueryRow(ctx, helloSQL, s.r.args()).Scan(&now, &s.standby, &missing, &s.writable)
	if err == nil {
		s.r.clock.set(now, asked)
	}
	return missing, err
}

// join makes the rows of the cluster.
func (s *session) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	return s.r.known(ctx, s.conn)
}

// duties does what is due: LISTEN, a beat, or reading for a new watcher.
func (s *session) duties(ctx context.Context) error {
	if err := s.runErrands(ctx); err != nil {
		return err
	}
	services, all := s.r.board.Watched()
	watching := all || len(services) > 0
	if watching && !s.listening && !s.standby && !s.r.cfg.PollOnly && !s.r.visits() {
		// Before reading, so that nothing falls between the two.
		if err := s.exec(ctx, "LISTEN "+pgx.Identifier{s.r.channel}.Sanitize()); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		s.listening = true
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	due, unread := !time.Now().Before(s.next), s.r.board.Unread()
	if s.rules || due && !s.ruled {
		s.rules = false
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
	if !due && !unread {
		return nil
	}
	if due {
		s.next = time.Now().Add(s.r.cfg.tick())
	}
	if err := s.sync(ctx, services, all, unread); err != nil {
		return s.again(err)
	}
	s.slow = 0
	if s.standby && severalHosts(s.r.conn) && time.Since(s.connected) > s.r.cfg.Heartbeat {
		return errStandby
	}
	return nil
}

// again has a beat that the server gave up for lack of time sent again, soon:
// a new connection would cost it more. The third in a row ends the session.
func (s *session) again(err error) error {
	if s.slow++; sqlState(err) != tooSlow || s.slow == 3 {
		return err
	}
	s.next = time.Now().Add(run.Jitter(s.r.cfg.tick()/4, 0.5))
	s.r.log.Info("the database is busy; next time", "err", err)
	return nil
}

// wait takes in notifications until something else is to do. A quiet wait ends
// with a ping, because a frozen or cut off server is quiet too.
func (s *session) wait(ctx context.Context) error {
	for {
		left := time.Until(sooner(s.next, s.r.tellAt()))
		if left <= 0 {
			return nil
		}
		wait, cancel := s.r.waitContext(ctx, min(left, patience(s.r.size.Load())))
		n, err := s.conn.WaitForNotification(wait)
		ended := wait.Err() // before cancel: a kernel's timeout leaves it nil
		cancel()
		switch {
		case err == nil:
			if s.take(n.Payload) || errors.Is(ended, context.Canceled) { // poked, and it was there already
				return nil
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case ended == nil || s.conn.IsClosed():
			return err // the kernel gave up, or the server closed; pgx may still call it a timeout
		case errors.Is(ended, context.Canceled):
			return nil // poked
		case !time.Now().Before(sooner(s.next, s.r.tellAt())):
			return nil // the statement will show whether the server lives
		default:
			if err := s.ping(ctx); err != nil {
				return err
			}
		}
	}
}

func (s *session) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(pingTime, s.r.limit()))
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

func (s *session) exec(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	_, err := s.conn.Exec(ctx, sql)
	return err
}

// take applies a notification. It reports true when the tables must be read:
// the content did not fit, or changes before it were missed.
func (s *session) take(payload string) (read bool) {
	n, err := parseNotice(payload)
	if err != nil {
		s.r.log.Warn("ignored", "err", err)
		return false
	}
	if n.Cluster != s.r.cfg.Cluster {
		return false
	}
	s.quiet = 0
	switch {
	case n.Rules:
		s.rules = true
		return true
	case n.Rev <= s.m.rev:
		return false
	case n.Changed == nil || n.Since > s.m.rev:
		spread := time.Duration(min(n.Pause, maxSpread)) * time.Millisecond
		if at := time.Now().Add(run.Jitter(spread, 1)); at.Before(s.next) {
			s.next = at
		}
		return true
	}
	services, all := s.r.board.Watched()
	s.m.rev = n.Rev
	s.m.merge(slices.DeleteFunc(s.rows(n.Changed, time.Now()), func(r row) bool {
		return !s.readAll && !s.read[r.Service] // its list is yet to be read
	}))
	s.m.only(services, all)
	s.m.publish(s.r.board)
	return false
}

// rows translates entries; those that break the rules are left out.
func (s *session) rows(entries []entry, now time.Time) []row {
	out := make([]row, 0, len(entries))
	for i := range entries {
		r, err := entries[i].row(now)
		if err == nil {
			out = append(out, r)
			continue
		}
		if !s.odd {
			s.odd = true
			s.r.log.Warn("a row that skerry did not write is ignored", "err", err)
		}
	}
	return out
}

// lost reports errors after which the connection is of no use.
func (s *session) lost(err error) bool {
	code := sqlState(err)
	return s.conn.IsClosed() || code == "" || code[:2] == "57" && code != "57014" || code == undefinedTable
}
