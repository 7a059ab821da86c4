package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// commit is what one connection knows of a transaction that is being committed
// for good. With a synchronous standby the server waits for that, and the
// transaction is seen by nobody until then. A cancelled wait ends with a commit
// that this server alone has, and that is lost with it: so none is cancelled
// from here, and one that was cancelled elsewhere is no success.
type commit struct {
	begun  atomic.Bool // COMMIT was sent, and was not answered yet
	warned atomic.Bool // the server has committed alone
}

// errUnconfirmed: the transaction is visible, and may be lost with its server.
var errUnconfirmed = errors.New("the database has committed this and no synchronous standby has confirmed it: " +
	"if the server is lost now, it is lost too; look at the standbys, then repeat the step")

// errCommitting: a commit that takes long goes on.
var errCommitting = errors.New("a commit is under way: it is not cancelled")

// ofCommits is the key of a connection's commit among its custom data.
const ofCommits = "skerry.commit"

// watchCommits prepares a connection that is yet to be made.
func watchCommits(cfg *pgx.ConnConfig) {
	c := &commit{}
	connect := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if c.begun.Load() && ctx.Value(connecting{}) == nil {
			return nil, errCommitting
		}
		return connect(ctx, network, addr)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if c.begun.Load() && n.Code == "01000" && n.SeverityUnlocalized == "WARNING" { // no other comes then
			c.warned.Store(true)
		}
	}
	cfg.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[ofCommits] = c
		return nil
	}
}

// flushed runs a transaction that is on disk when it has ended, and at the
// synchronous standby where there is one, unlike a heartbeat, and that waits for
// no lock for long.
func flushed(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	c, ok := conn.PgConn().CustomData()[ofCommits].(*commit)
	if !ok {
		return errors.New("the connection was made without watchCommits") // a mistake of this package
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		const settings = "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'"
		if _, err := tx.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		err := f(tx)
		c.begun.Store(err == nil)
		return err
	})
	if !conn.IsClosed() { // else pgx may be about to cancel what it does not wait for any more
		c.begun.Store(false)
	}
	if c.warned.Swap(false) && err == nil {
		return errUnconfirmed
	}
	return err
}

// announce tells the listeners of what was committed. A transaction that notifies
// holds a lock of the whole server until its commit has ended, and one that
// waits for a standby would hold up the notifications of all others: so this
// comes after it. Where it is lost, the next poll of each process sees the same.
func (r *Registry) announce(ctx context.Context, conn *pgx.Conn, sql string, args pgx.NamedArgs) {
	if _, err := conn.Exec(ctx, sql, args); err != nil {
		r.log.Info("the listeners were not told of what was committed; each sees it with its next poll", "err", err)
	}
}
