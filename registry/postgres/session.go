package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/internal/run"
)

var errNoCluster = errors.New("the rows of the cluster are missing")

// maxSpread bounds the time in ms over which readers of a hint spread.
const maxSpread = 2000

// session is one life of the connection that beats, reads and listens. Its goroutine owns it.
type session struct {
	r    *Registry
	m    *model
	conn *pgx.Conn
	up   func() // called for each answer

	writable  bool // the connection may write, as far as the server said
	standby   bool
	lagged    bool // the latest answer is of a standby that lacked the heartbeats of the living
	readOnly  bool // a standby, or another server that takes no writes now
	listening bool

	connected time.Time
	next      time.Time       // the beat
	lookAt    time.Time       // when to look for a server that takes writes; zero: never
	patience  time.Duration   // how long the next server without writes is used before others are tried
	full      time.Time       // the latest full read; zero: none in this session
	reread    bool            // the next beat must read everything
	refused   time.Time       // when a beat was refused despite writable; zero: the latest was not
	read      map[string]bool // services with a complete list in the model
	readAll   bool            // all lists in the model are complete
	ruled     bool            // beats read the end of the rule log
	policied  bool            // beats read the end of the policy log
	trusting  bool            // the latest answer showed that a process expires leases

	lacking int  // answers in a row in which the rule log had lost entries
	beats   int  // in this session
	slow    int  // beats in a row that the server ended for lack of time
	scarce  bool // the server has hardly a connection left, so the session gives this one back

	secretive     bool      // beats read the state of the secret
	ruleless      bool      // the log says that the rule log may not be read
	policyless    bool      // the log says that the policy can't be read
	policyLacks   int       // answers in a row in which the policy log lacked the newest entry of the process
	policyRefused bool      // the log says that lost policies can't be written again
	keyless       bool      // the log says that the secret can't be made
	channel       string    // that the session listens to; "": none
	former        string    // the channel before, or ""
	formerEnds    time.Time // when to stop listening to former
	asked         notifyRequest
	lastRead      time.Time // when the latest read began that could answer a notification

	quiet          int  // reads in a row with changes that no notification had brought
	compactRefused bool // the log says that a table could not be compacted
	deafLogged     bool // the log says that notifications do not arrive
}

func (s *session) run(ctx context.Context) error {
	dial, cancel := context.WithTimeout(ctx, s.r.connectLimit())
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
	s.lookElsewhere()
	for {
		if err := s.duties(ctx); err != nil {
			return err
		}
		if spread > 0 {
			s.next, spread = time.Now().Add(spread), 0
		}
		if s.scarce && s.r.notifyAt().IsZero() {
			return errScarce
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// notifyRequest is what notifications have asked for beside a read of the lists. The session does
// it at most every hintPause.
type notifyRequest struct {
	at            time.Time // when to do it; zero: nothing is asked for
	rules, secret bool
}

// hintPause is the shortest time between two reads because of notifications.
const hintPause = 250 * time.Millisecond

// hello examines the server of the connection and makes missing tables, rows and secrets.
func (s *session) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit()+schemaTime)
	defer cancel()
	s.r.note(linkOf(s.conn, s.r.conn))
	missing, err := s.ask(ctx)
	if err != nil {
		return err
	}
	if missing == 0 {
		unsaid, err := s.r.agrees(ctx, s.conn)
		if err != nil {
			return err
		}
		if unsaid {
			missing = 1
		}
	}
	if missing > 0 {
		if s.standby {
			return fmt.Errorf("%d tables of skerry are missing, and this is a standby", missing)
		}
		if s.r.cfg.Observe {
			return ErrNoTables
		}
		if err := s.r.createSchema(ctx, s.conn); err != nil {
			return err
		}
		if _, err := s.ask(ctx); err != nil {
			return err
		}
		if s.writable {
			if err := s.join(ctx); err != nil {
				return err
			}
		}
	}
	return s.learnSecret(ctx)
}

func (s *session) ask(ctx context.Context) (missing int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var asked time.Time
	var now int64
	var old bool
	err = serially(ctx, func() error {
		asked = time.Now()
		return s.conn.QueryRow(ctx, helloSQL, s.r.args()).Scan(&now, &s.standby, &s.readOnly, &missing, &old,
			&s.writable)
	})
	if err == nil {
		s.r.clock.set(now, asked)
	}
	if err == nil && old {
		err = errOldTables
	}
	return missing, err
}

// join makes the rows of the cluster.
func (s *session) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	return s.r.join(ctx, s.conn)
}

// duties does what is due: tasks, LISTEN, notifications, and a beat or a read for a new watcher.
func (s *session) duties(ctx context.Context) error {
	if err := s.runTasks(ctx); err != nil {
		return err
	}
	if !s.lookAt.IsZero() && !time.Now().Before(s.lookAt) {
		return errStandby
	}
	services, all := s.r.publisher.Watched()
	watching := all || len(services) > 0
	if watching && !s.standby && !s.r.cfg.PollOnly && !s.r.visits() {
		// LISTEN comes before the read, so that no change falls between the two.
		if err := s.listen(ctx); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if err := s.notify(ctx); err != nil {
		return err
	}
	due, unread := !time.Now().Before(s.next), s.r.publisher.Unread()
	if err := s.followRequests(ctx, due && !s.ruled); err != nil {
		return err
	}
	if !due && !unread {
		return nil
	}
	if due {
		s.next = time.Now().Add(s.r.cfg.tick())
	}
	if err := s.sync(ctx, services, all, unread); err != nil {
		return s.retryBeat(err)
	}
	s.slow = 0
	return nil
}

// followRequests reads what notifications have asked for when it is due. It reads the rules also
// when rules is true.
func (s *session) followRequests(ctx context.Context, rules bool) error {
	if at := s.asked.at; !at.IsZero() && !time.Now().Before(at) {
		asked := s.asked
		s.asked, s.lastRead = notifyRequest{}, time.Now()
		rules = rules || asked.rules
		if asked.secret {
			if err := s.learnSecret(ctx); err != nil {
				return err
			}
		}
	}
	if !rules {
		return nil
	}
	if err := s.followPolicy(ctx); err != nil {
		return err
	}
	return s.follow(ctx)
}

// retryBeat schedules a beat again that the server ended for lack of time, because a new connection
// would cost the server more. The third in a row ends the session.
func (s *session) retryBeat(err error) error {
	if s.slow++; sqlState(err) != tooSlow || s.slow == 3 {
		return err
	}
	s.next = time.Now().Add(run.Jitter(s.r.cfg.tick()/4, 0.5))
	s.r.log.Info("the database is busy; the heartbeat is sent again", "err", err)
	return nil
}

// wait receives notifications until a duty is due. A quiet wait ends with a ping, because a frozen
// or cut off server is quiet.
func (s *session) wait(ctx context.Context) error {
	for {
		left := time.Until(s.wakes())
		if left <= 0 {
			return nil
		}
		wait, cancel := s.r.waitContext(ctx, min(left, pingAfter(s.r.size.Load())))
		n, err := s.conn.WaitForNotification(wait)
		ended := wait.Err() // before cancel: a kernel's timeout leaves it nil
		cancel()
		switch {
		case err == nil:
			if s.receive(n) || errors.Is(ended, context.Canceled) { // poked while the notification was there already
				return nil
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case ended == nil || s.conn.IsClosed():
			return err // the kernel or the server closed the connection; pgx may call it a timeout
		case errors.Is(ended, context.Canceled):
			return nil // poked
		case !time.Now().Before(s.wakes()):
			return nil // the statement will show whether the server lives
		default:
			if err := s.ping(ctx); err != nil {
				return err
			}
		}
	}
}

// wakes is when the next duty is due without a notification.
func (s *session) wakes() time.Time {
	return run.Earliest(s.next, s.r.notifyAt(), s.asked.at, s.lookAt)
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

// receive applies a notification. It reports true when the session must read: the content did not
// fit, or changes before it were missed. The writer knows the secret channel, so its content is
// believed within bounds. A notification on an earlier channel is a hint.
func (s *session) receive(told *pgconn.Notification) (read bool) {
	n, err := parsePayload(told.Payload)
	if err != nil || n.Cluster != s.r.cfg.Cluster {
		s.r.odd.add("(notification)", true, oddRow("(notification)", cmp.Or(err, errForeign), told.Payload))
		return false
	}
	s.quiet = 0
	if told.Channel != s.channel {
		return s.readSoon(0)
	}
	switch {
	case n.Rules, n.Secret:
		s.asked.rules, s.asked.secret = s.asked.rules || n.Rules, s.asked.secret || n.Secret
		s.asked.at = s.notBefore(0)
		return true
	case s.m.rev > 0 && n.Rev <= s.m.rev:
		return false
	case !n.complete(s.m.rev):
		return s.readSoon(n.Pause)
	}
	services, all := s.r.publisher.Watched()
	s.m.rev = n.Rev
	entries := make([]listing, len(n.Changed))
	for i := range n.Changed {
		entries[i].text = n.Changed[i]
	}
	s.m.merge(slices.DeleteFunc(s.rows(entries, time.Now(), false), func(r row) bool {
		return !s.readAll && !s.read[r.Service] // the list of its service was not read yet
	}))
	s.m.only(services, all)
	s.m.publish(s.r.publisher)
	return false
}

var errForeign = errors.New("it is of another cluster")

// readSoon schedules a read within pause milliseconds.
func (s *session) readSoon(pause int64) bool {
	spread := time.Duration(min(max(0, pause), maxSpread)) * time.Millisecond
	if at := s.notBefore(run.Jitter(spread, 1)); at.Before(s.next) {
		s.next = at
	}
	return true
}

// notBefore returns the time after which a hint may be followed, at least hintPause after the last
// read.
func (s *session) notBefore(after time.Duration) time.Time {
	at := time.Now().Add(after)
	if first := s.lastRead.Add(hintPause); at.Before(first) {
		return first
	}
	return at
}

// rows converts entries to rows. It leaves out odd ones and records them. all says that these are
// all instances of the table.
func (s *session) rows(entries []listing, now time.Time, all bool) []row {
	out := make([]row, 0, len(entries))
	var odd []OddRow
	for _, in := range entries {
		r, e, err := parseRow(in.text, now)
		if err == nil {
			r.lapsed = in.lapsed
			out = append(out, r)
			continue
		}
		if len(odd) <= maxOdd {
			odd = append(odd, oddInstance(&e, err))
		}
	}
	if all || len(odd) > 0 {
		s.r.odd.add("skerry_instance", all, odd...)
	}
	return out
}

func oddInstance(e *entry, why error) OddRow {
	return oddRow("skerry_instance", why, e.Service, e.Version, e.Host, e.Port, e.Owner)
}

// lost reports errors after which the connection is useless.
func (s *session) lost(err error) bool {
	code := sqlState(err)
	return s.demoted(err) || s.conn.IsClosed() || code == "" || code[:2] == "57" && code != "57014" ||
		code == undefinedTable
}
