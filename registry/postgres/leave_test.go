//go:build linux

package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// TestLeavingCancelsNothing: a process that leaves while one of its statements waits opens no
// connection to cancel it, because PgBouncer can crash then.
func TestLeavingCancelsNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cable := server.Proxy(t)
	a := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
	a.offer()
	other, err := pgx.Connect(t.Context(), server.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE skerry_lease"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 20*time.Second, func() bool {
		return one[bool](
			t,
			server.URL(db),
			"SELECT count(*) > 0 FROM pg_locks l, pg_database d WHERE NOT l.granted AND d.oid = l.database AND "+
				"d.datname = '"+db+"'",
		)
	}, func() string { return "a statement that waits" })
	_, before := cable.Count()
	a.stop()
	lab.Eventually(t, 20*time.Second, func() bool { ends, _ := cable.Count(); return ends == 0 },
		func() string { return "the end of its connection" })
	if _, after := cable.Count(); after != before {
		t.Errorf("%d connections were opened while leaving", after-before)
	}
}
