package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// commit is the state of one connection's durable commit. With a synchronous standby the server
// waits for the standby, and other sessions see the transaction after that. A cancelled wait ends
// with a commit that this server alone has and loses with its disk. This package therefore cancels
// none, and reports a wait that was cancelled elsewhere as an error.
type commit struct {
	begun  atomic.Bool // COMMIT was sent, and was not answered yet
	warned atomic.Bool // the server has committed alone
}

// errUnconfirmed: the transaction is visible, and may be lost with its server.
var errUnconfirmed = errors.New("the database has committed this and no synchronous standby has confirmed it: " +
	"if the server is lost now, it is lost too; look at the standbys, then repeat the step")

// errCommitting: a commit takes longer than its writer waits, and goes on in the server.
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
		if c.begun.Load() && n.Code == "01000" && n.SeverityUnlocalized == "WARNING" { // no other warning comes then
			c.warned.Store(true)
		}
	}
	cfg.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[ofCommits] = c
		return nil
	}
}

// flushed runs a transaction that is on disk when it has ended, unlike a heartbeat, and on the
// synchronous standby where there is one. It waits for a lock for 2 s at most.
func flushed(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	c, ok := conn.PgConn().CustomData()[ofCommits].(*commit)
	if !ok {
		return errors.New("the connection was made without watchCommits") // a defect of this package
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		const settings = "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'"
		if _, err := tx.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		err := f(tx)
		c.begun.Store(err == nil)
		return err
	})
	if !conn.IsClosed() { // else pgx may be about to cancel a statement that it no longer waits for
		c.begun.Store(false)
	}
	if c.warned.Swap(false) && err == nil {
		return errUnconfirmed
	}
	return err
}

// announce notifies the listeners of a committed change. It runs after the commit, because a
// transaction that notifies holds a lock of the whole server until its commit has ended. One that
// waits for a standby would delay the notifications of all others. After a lost notification, the
// next poll of each process reads the change.
func (r *Registry) announce(ctx context.Context, conn *pgx.Conn, sql string, args pgx.NamedArgs) {
	if _, err := conn.Exec(ctx, sql, args); err != nil {
		r.log.Info("the listeners were not told of what was committed; each sees it with its next poll", "err", err)
	}
}
