package registry

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

// compression is how much faster than a real site's the heartbeats come while
// the tables' growth is measured, and autovacuum with them.
const compression = 60

// tablesSQL is the size of what heartbeats write, in KiB.
const tablesSQL = `SELECT pg_table_size('skerry_lease') / 1024, pg_indexes_size('skerry_lease') / 1024,
	(pg_table_size('skerry_cluster') + pg_table_size('skerry_revision') + pg_table_size('skerry_told')) / 1024`

// growth watches the tables over hours of heartbeats of a hundred processes,
// first as it is, then beside a transaction that somebody has left open.
func growth(ctx context.Context, w io.Writer, hours float64) error {
	l := load{instances: 1000, consumers: 100, pace: 30 * time.Second / compression}
	db, err := startDatabase(ctx, 3*l.processes()+20, fmt.Sprintf("autovacuum_naptime = %d\n", max(60/compression, 1)))
	if err != nil {
		return err
	}
	defer db.close()
	nodes, err := openNodes(ctx, db, l)
	defer closeNodes(nodes)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\ngrowth over hours of heartbeats: %d processes, time %d times as fast\n", l.processes(), compression)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\thours\tlease table, KiB\tits index\tcluster, revision, told\theartbeats\tof them HOT\t")
	half := time.Duration(hours / 2 * float64(time.Hour) / compression)
	if err := sizes(ctx, db, t, "at the start", 0); err != nil {
		return err
	}
	if err := watchSizes(ctx, db, t, "nothing else goes on", half); err != nil {
		return err
	}
	holder, err := pgx.Connect(ctx, db.server.SocketURL("postgres"))
	if err != nil {
		return err
	}
	defer holder.Close(context.WithoutCancel(ctx))
	if _, err := holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()"); err != nil {
		return err
	}
	if err := watchSizes(ctx, db, t, "beside an open transaction", half); err != nil {
		return err
	}
	return t.Flush()
}

// watchSizes notes the sizes four times.
func watchSizes(ctx context.Context, db *database, w io.Writer, what string, d time.Duration) error {
	for k := range 4 {
		if err := run.Sleep(ctx, d/4); err != nil {
			return err
		}
		if err := sizes(ctx, db, w, what, float64(k+1)/4*d.Hours()*compression); err != nil {
			return err
		}
	}
	return nil
}

func sizes(ctx context.Context, db *database, w io.Writer, what string, hours float64) error {
	var table, index, others, beats, hot int64
	if err := db.admin.QueryRow(ctx, tablesSQL).Scan(&table, &index, &others); err != nil {
		return err
	}
	err := db.admin.QueryRow(ctx, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'skerry_lease'").Scan(&beats, &hot)
	fmt.Fprintf(w, "%s\t%.2f\t%d\t%d\t%d\t%d\t%.1f %%\t\n", what, hours, table, index, others, beats, 100*float64(hot)/float64(max(beats, 1)))
	return err
}
