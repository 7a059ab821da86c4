package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Registry keeps registrations in a PostgreSQL database and shows those of other processes. Make it
// with [New].
type Registry struct {
	cfg       Config
	conn      *pgx.ConnConfig // template of every connection
	dialer    dialer
	given     map[string]string // start-up parameters of the URL
	address   string            // of the database, without the password
	log       *slog.Logger
	publisher *registrar.Publisher
	registrar *registrar.Registrar
	clock     clock
	odd       oddities
	written   written // owned by the session's goroutine, which carries out all writes

	size     atomic.Int64 // processes of the site with registrations, as the database last said
	slowness atomic.Int64 // limit of a statement while the server is slow, as a time.Duration; else 0
	visiting atomic.Bool  // connections are scarce
	oddName  atomic.Bool  // the log says that statistics have a name that is no text

	mu        sync.Mutex
	plain     bool               // the server refuses start-up parameters: a pooler or an old server
	withheld  map[string]bool    // parameters of the URL, and the encoding, that a pooler refuses
	alive     bool               // Run runs
	tasks     []*connTask        // queued for the session
	away      error              // why there is no session now or soon
	refusal   string             // of the latest registration, as in the log
	rights    *rightsError       // the latest refusal of a right, or nil
	told      bool               // the log has the SQL that grants the right
	wake      context.CancelFunc // interrupts the wait for notifications
	notifyDue time.Time          // when to notify of written changes; zero: none waits
	poked     bool               // poke was called since the last wait began

	secret secret // as it was last read
	deaf   bool   // the log says that the secret may not be read
	link   *Link  // of the session's latest connection
}

var (
	_ registry.Registry = (*Registry)(nil)
	_ health.Sink       = (*Registry)(nil)
)

// New checks the configuration without I/O. Its errors name the field and never contain the
// password of the URL.
func New(cfg Config) (*Registry, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("postgres registry: %w", err)
	}
	r := &Registry{cfg: cfg, publisher: registrar.NewPublisher("database", false), written: written{}}
	var err error
	if r.conn, err = connConfig(&cfg, &r.dialer); err != nil {
		return nil, fmt.Errorf("postgres registry: %w", err)
	}
	r.given, r.withheld = r.conn.RuntimeParams, map[string]bool{}
	r.address = address(r.conn)
	r.log = cfg.Logger.With("database", r.address)
	r.odd.log = r.log
	r.registrar = registrar.New(cfg.Owner, writer{r})
	return r, nil
}

// Register is Registry.Register. While the database refuses, the error with ErrPending says why,
// with the SQL that grants a missing right.
func (r *Registry) Register(ctx context.Context, instances ...registry.Instance) error {
	return r.registrar.Register(ctx, instances...)
}

// Deregister is Registry.Deregister.
func (r *Registry) Deregister(ctx context.Context, ids ...registry.ID) error {
	return r.registrar.Deregister(ctx, ids...)
}

// Watch is Registry.Watch.
func (r *Registry) Watch(service string, f func(registry.Snapshot)) (stop func()) {
	return r.publisher.Watch(service, f)
}

// Run is Registry.Run. It returns an error only when it is running already.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.alive {
		r.mu.Unlock()
		return errors.New("postgres registry: Run is running already")
	}
	r.alive, r.away = true, nil
	r.mu.Unlock()

	g := run.NewGroup(ctx)
	sessions, cancel := context.WithCancel(context.WithoutCancel(ctx)) // sessions outlive ctx for the goodbye
	r.dialer.leaving.Store(false)
	over := func() { r.dialer.leaving.Store(true); cancel() }
	defer over()
	g.Go(func(ctx context.Context) error {
		defer over()
		return r.keepListed(ctx)
	})
	g.Go(func(context.Context) error { return r.stayConnected(sessions) })
	g.Go(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-r.publisher.Wants():
				r.poke()
			}
		}
	})
	err := g.Wait()
	r.end()
	return err
}

// keepListed runs the registrar, which deregisters everything at its end. It then gives the lease
// back.
func (r *Registry) keepListed(ctx context.Context) error {
	err := r.registrar.Run(ctx)
	if len(r.registrar.Wished()) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime)
	defer cancel()
	left := r.withConn(ctx, roleService, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, leaveSQL, r.args())
		return err
	})
	if left != nil {
		r.log.Info("the lease is left to run out", "err", left)
	}
	return err
}

// leaseTime bounds giving the lease back, which would otherwise run out.
const leaseTime = 200 * time.Millisecond

// end fails tasks that still wait.
func (r *Registry) end() {
	r.mu.Lock()
	r.alive = false
	r.mu.Unlock()
	r.rejectTasks(unavailable(errNotRunning), false)
}

// poke makes the session check its duties now.
func (r *Registry) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poked = true
	if r.wake != nil {
		r.wake()
	}
}

// waitContext ends after d, at a call of poke, or at once if poke was called since the last wait.
func (r *Registry) waitContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poked {
		r.poked = false
		cancel()
	}
	r.wake = cancel
	return ctx, cancel
}

// args returns the parameters that most statements need. Callers may add more.
func (r *Registry) args() pgx.NamedArgs {
	channel := r.currentSecret().channel
	return pgx.NamedArgs{
		"cluster": r.cfg.Cluster,
		"owner":   r.cfg.Owner.String(),
		"channel": channel,
		"latest":  r.clock.latest(time.Now(), r.limit()),
		"pause":   r.cfg.pause().Milliseconds(),
		"valid":   r.cfg.Expiry.Milliseconds(),
		"keep":    r.cfg.KeepStats.Milliseconds(),
		"tables":  tables,
	}
}

// clock follows the database's time: its last answer plus the monotonic time since then. It does
// not use the node's wall clock.
type clock struct {
	mu   sync.Mutex
	db   int64     // microseconds
	read time.Time // when the request for that answer was sent
}

// slack is the time after its sender's limit in which a statement may still take effect. Leases are
// much longer.
const slack = 2 * time.Second

// set records the database's time in the answer to a statement sent at asked.
func (c *clock) set(db int64, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db, c.read = db, asked
}

// latest returns the database time until which a statement may take effect, in microseconds, when
// it is sent now and may take limit. It returns 0 before the first answer of the database.
func (c *clock) latest(now time.Time, limit time.Duration) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.db == 0 {
		return 0
	}
	return c.db + (now.Sub(c.read) + limit + slack).Microseconds()
}
