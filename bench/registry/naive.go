package registry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

// naive is the design that one would write first, with the same database: a
// row for each instance, written every 30 s, and the whole table read by every
// consumer every 30 s. Its only economy is a connection for each process that
// stays. A change is known after 15 s on average and 30 s at most, by design.
type naive struct {
	db    *database
	group *run.Group
}

const (
	naiveTable = `CREATE TABLE registry (service text, ip text, port int, version text, updated_at timestamptz NOT NULL,
		PRIMARY KEY (service, ip, port))`
	naiveWrite = `INSERT INTO registry VALUES ($1, $2, $3, 'v1', now())
		ON CONFLICT (service, ip, port) DO UPDATE SET updated_at = now()`
	naiveRead = "SELECT service, ip, port, version, updated_at FROM registry"
)

type naiveRow struct {
	Service, IP string
	Port        int
	Version     string
	UpdatedAt   time.Time
}

func (n *naive) start(ctx context.Context, l load, _ *arrivals) (err error) {
	n.group = run.NewGroup(context.WithoutCancel(ctx))
	if n.db, err = startDatabase(ctx, l.processes()+10, ""); err != nil {
		return err
	}
	if _, err = n.db.admin.Exec(ctx, naiveTable); err != nil {
		return err
	}
	conns := make([]*pgx.Conn, l.processes())
	err = each(ctx, len(conns), 20, func(ctx context.Context, i int) error {
		conns[i], err = pgx.Connect(ctx, n.db.url())
		if err != nil {
			return err
		}
		for k, name := range l.offered(i) {
			if _, err := conns[i].Exec(ctx, naiveWrite, name, "10.0.0.1", 1000+i*10+k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, conn := range conns {
		n.group.Go(func(ctx context.Context) error { return naiveProcess(ctx, conn, l, i) })
	}
	return nil
}

// naiveProcess spreads its heartbeats and its read over each period.
func naiveProcess(ctx context.Context, conn *pgx.Conn, l load, i int) error {
	names := l.offered(i)
	step := l.pace / time.Duration(len(names)+1)
	if run.Sleep(ctx, rand.N(step)) != nil {
		return nil
	}
	for {
		for k, name := range names {
			if _, err := conn.Exec(ctx, naiveWrite, name, "10.0.0.1", 1000+i*10+k); err != nil {
				return nil // the server has ended
			}
			if run.Sleep(ctx, step) != nil {
				return nil
			}
		}
		if i < l.consumers {
			rows, err := conn.Query(ctx, naiveRead)
			if err == nil {
				_, err = pgx.CollectRows(rows, pgx.RowToStructByPos[naiveRow])
			}
			if err != nil {
				return nil // the server has ended
			}
		}
		if run.Sleep(ctx, step) != nil {
			return nil
		}
	}
}

func (n *naive) change(context.Context, int) error { return errSlow }
func (n *naive) undo(context.Context, int) error   { return nil }

func (n *naive) cpu() time.Duration { return n.db.cpu() }

func (n *naive) meter(ctx context.Context) (usage, error) { return n.db.meter(ctx) }

func (n *naive) close() error {
	if n.group != nil {
		_ = n.group.Stop() // it ends by cancellation only
	}
	if n.db == nil {
		return nil
	}
	return n.db.close()
}
