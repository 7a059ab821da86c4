package registry

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

// While the tables' growth is measured there are a thousand leases, heartbeats
// come faster by this factor than a real site's, and autovacuum with them.
const (
	compression  = 20
	growthLeases = 1000
)

// sizesSQL is the size of what heartbeats write, in KiB, and how it came to be.
const sizesSQL = `SELECT (SELECT count(*) FROM skerry_lease),
	pg_table_size('skerry_lease') / 1024, pg_indexes_size('skerry_lease') / 1024,
	(pg_table_size('skerry_cluster') + pg_table_size('skerry_revision') + pg_table_size('skerry_told')) / 1024,
	(SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'skerry_lease'),
	(SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'skerry_lease')`

// size is what heartbeats write at one moment.
type size struct {
	what                         string
	hours                        float64
	leases, table, index, others int64 // KiB
	beats, hot                   int64
}

// growth watches the tables over hours of heartbeats, first as it is, then
// beside a transaction that was left open. The processes do nothing
// but beat.
func growth(ctx context.Context, w io.Writer, hours float64) (seen []size, err error) {
	l := load{instances: growthLeases, consumers: growthLeases, pace: 30 * time.Second / compression, leases: true}
	db, err := startDatabase(ctx, l.processes()+20, fmt.Sprintf("autovacuum_naptime = %d\n", max(60/compression, 1)))
	if err != nil {
		return nil, err
	}
	defer db.close()
	say("growth: starting %d processes", l.processes())
	nodes, err := openNodes(ctx, db, l)
	defer closeNodes(nodes)
	if err != nil {
		return nil, err
	}
	half := time.Duration(hours / 2 * float64(time.Hour) / compression)
	say("growth: twice %v, which are %.1f hours", half.Round(time.Second), hours)
	note := func(what string, d time.Duration, times int) {
		for k := range times {
			if err == nil {
				err = run.Sleep(ctx, d/time.Duration(times))
			}
			if err == nil {
				s := size{what: what, hours: float64(k+1) / float64(times) * d.Hours() * compression}
				err = db.admin.QueryRow(ctx, sizesSQL).Scan(&s.leases, &s.table, &s.index, &s.others, &s.beats, &s.hot)
				seen = append(seen, s)
			}
		}
	}
	note("at the start", 0, 1)
	note("nothing else goes on", half, 4)
	holder, open := pgx.Connect(ctx, db.server.SocketURL("postgres"))
	if open != nil {
		return nil, open
	}
	defer holder.Close(context.WithoutCancel(ctx))
	if _, open = holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()"); open != nil {
		return nil, open
	}
	note("beside an open transaction", half, 4)
	if err == nil {
		reportGrowth(w, seen)
	}
	return seen, err
}

func reportGrowth(w io.Writer, seen []size) {
	fmt.Fprintf(w, "\ngrowth over hours of heartbeats: %d leases, time %d times as fast\n", seen[0].leases, compression)
	t := newTable(w, "", "hours", "lease table, KiB", "its index", "cluster, revision, told", "heartbeats",
		"of them HOT")
	for _, s := range seen {
		t.row(s.what, fmt.Sprintf("%.2f", s.hours), fmt.Sprint(s.table), fmt.Sprint(s.index), fmt.Sprint(s.others),
			fmt.Sprint(s.beats),
			fmt.Sprintf("%.1f %%", 100*float64(s.hot)/float64(max(s.beats, 1))))
	}
}
