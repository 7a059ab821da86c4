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

// Registry keeps registrations in a PostgreSQL database and shows what others
// keep there. Make it with [New].
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

	size     atomic.Int64 // of the site, in processes that offer something, as the database last said
	slowness atomic.Int64 // limit of a statement while the server is slow, as a time.Duration; 0: it is not
	visiting atomic.Bool  // connections are scarce
	oddName  atomic.Bool  // it was said that statistics have a name that is no text

	mu        sync.Mutex
	plain     bool               // the server refuses start-up parameters: a pooler, or an old one
	withheld  map[string]bool    // start-up parameters of the URL, and the encoding, that a pooler refuses
	alive     bool               // Run runs
	tasks     []*connTask        // what the session is to do for others
	away      error              // why there is no session, nor will be soon
	refusal   string             // of the latest registration, as the log has it
	rights    *rightsError       // the latest refusal of a right; nil when all is well
	told      bool               // the SQL that allows it was logged
	wake      context.CancelFunc // interrupts the wait for notifications
	notifyDue time.Time          // when to tell the listeners of what was written; zero: nothing waits
	poked     bool               // poke was called since the last wait began

	secret secret // as it was last read
	deaf   bool   // that the secret may not be read was said
	link   *Link  // of the session's latest connection
}

var (
	_ registry.Registry = (*Registry)(nil)
	_ health.Sink       = (*Registry)(nil)
)

// New checks the configuration. It does not touch the network. Its errors name
// the field and never contain the password of the URL.
func New(cfg Config) (*Registry, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("postgres registry: %w", err)
	}
	r := &Registry{cfg: cfg, publisher: registrar.NewPublisher("database", false)}
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

// Register is Registry.Register. While the database refuses, the error that
// comes with ErrPending says why; see [RightsError].
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

// Run is Registry.Run. It returns an error only when it is called twice at a
// time.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.alive {
		r.mu.Unlock()
		return errors.New("postgres registry: Run is running already")
	}
	r.alive, r.away = true, nil
	r.mu.Unlock()

	g := run.NewGroup(ctx)
	sessions, cancel := context.WithCancel(context.WithoutCancel(ctx)) // they carry the goodbye
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

// keepListed runs the registrar, which withdraws everything in the end, and
// then gives the lease back.
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

// leaseTime is what giving the lease back may take: it would run out anyway.
const leaseTime = 200 * time.Millisecond

// end turns away who still wants something done.
func (r *Registry) end() {
	r.mu.Lock()
	r.alive = false
	r.mu.Unlock()
	r.rejectTasks(unavailable(errNotRunning), false)
}

// poke makes the session look at its duties now.
func (r *Registry) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poked = true
	if r.wake != nil {
		r.wake()
	}
}

// waitContext ends after d, or when poke is called or was since the last wait.
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

// args are the parameters that most statements need; more may be added.
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

// clock follows the database's time: what it last said, and the monotonic time
// since then. The node's wall clock has no part in it.
type clock struct {
	mu   sync.Mutex
	db   int64     // microseconds
	read time.Time // when the answer that said so had been asked for
}

// slack is how much later than its sender waits a statement may still take
// effect. Leases are much longer.
const slack = 2 * time.Second

// set notes the database's time, as answered to a question asked at asked.
func (c *clock) set(db int64, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db, c.read = db, asked
}

// latest is the database's time until when a statement sent now, that may take
// as long as limit, may take effect, in microseconds; 0 when the database has never been asked.
func (c *clock) latest(now time.Time, limit time.Duration) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.db == 0 {
		return 0
	}
	return c.db + (now.Sub(c.read) + limit + slack).Microseconds()
}
