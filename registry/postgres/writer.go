package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/registry"
)

// listBatch is the number of changes in one statement, and so in one notification: about what fits
// in its 8,000 bytes.
const listBatch = 16

// writer writes registrations for the registrar.
type writer struct{ r *Registry }

// written has the revision of each row of this process, from the statement that wrote it last. An
// older copy of the database shows others.
type written map[registry.ID]int64

// newest returns the highest of them, or 0 without a row.
func (w written) newest() (rev int64) {
	for _, r := range w {
		rev = max(rev, r)
	}
	return rev
}

// Apply is registrar.Writer.Apply. It logs a refusal of the database with its reason, because the
// registrar tries again for ever and returns errors only to waiting callers.
func (w writer) Apply(ctx context.Context, put []registry.Instance, drop []registry.ID) error {
	err := w.list(ctx, put, drop)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if err == nil {
		if w.r.refusal != "" {
			w.r.log.Info("the database takes registrations again")
		}
		w.r.refusal = ""
		return nil
	}
	_, rights := errors.AsType[*rightsError](err) // explain has logged it
	if text := oneLine(err.Error()); sqlState(err) != "" && !rights && text != w.r.refusal {
		w.r.refusal = text
		w.r.log.Warn("the database refuses a registration; it is tried again", "err", text)
	}
	return err
}

func (w writer) list(ctx context.Context, put []registry.Instance, drop []registry.ID) error {
	for len(put)+len(drop) > 0 {
		n := min(listBatch, len(put))
		m := min(listBatch-n, len(drop))
		if err := w.change(ctx, put[:n], drop[:m]); err != nil {
			return err
		}
		put, drop = put[n:], drop[m:]
	}
	return nil
}

var errLate = errors.New("the statement came too late and did nothing")

func (w writer) change(ctx context.Context, put []registry.Instance, drop []registry.ID) error {
	now := time.Now()
	entries := make([]entry, 0, len(put))
	for _, in := range put {
		entries = append(entries, newEntry(in, now))
	}
	dropped := make([]entry, 0, len(drop))
	for _, id := range drop {
		host, port, err := net.SplitHostPort(id.Addr)
		if err != nil {
			continue // Register never accepts such an address
		}
		p, err := strconv.Atoi(port)
		if err != nil {
			continue
		}
		dropped = append(dropped, entry{Service: id.Service, Version: id.Version, Host: host, Port: p})
	}
	puts, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("write registrations: %w", err)
	}
	drops, err := json.Marshal(dropped)
	if err != nil {
		return fmt.Errorf("write registrations: %w", err)
	}
	return w.r.withConn(ctx, roleService, func(ctx context.Context, conn *pgx.Conn) error {
		rev, err := w.write(ctx, conn, string(puts), string(drops))
		if err != nil {
			return err
		}
		for i := range put {
			w.r.written[put[i].ID()] = rev
		}
		for _, id := range drop {
			delete(w.r.written, id)
		}
		return nil
	})
}

// write sends one change and returns its revision. It sends a late one again, by the clock that the
// answer has set.
func (w writer) write(ctx context.Context, conn *pgx.Conn, puts, drops string) (rev int64, err error) {
	for range 2 {
		args := w.r.args()
		args["put"], args["drop"] = puts, drops
		asked := time.Now()
		var now int64
		var rev *int64
		var told *string
		if err := conn.QueryRow(ctx, listSQL, args).Scan(&now, &rev, &told); err != nil {
			return 0, fmt.Errorf("write registrations: %w", w.r.held(ctx, conn, err, "skerry_revision"))
		}
		w.r.clock.set(now, asked)
		if rev != nil {
			if told == nil {
				w.r.notifyLater()
			}
			return *rev, nil
		}
		if err := w.r.join(ctx, conn); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("write registrations: %w", errLate)
}

// join makes the rows of the cluster if they are missing.
func (r *Registry) join(ctx context.Context, conn *pgx.Conn) error {
	for _, sql := range joinSQL {
		err := serially(ctx, func() error {
			_, err := conn.Exec(ctx, sql, r.args())
			return err
		})
		if err != nil {
			return fmt.Errorf("make the rows of cluster %s: %w", r.cfg.Cluster, err)
		}
	}
	return nil
}
