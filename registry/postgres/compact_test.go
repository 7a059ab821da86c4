//go:build linux

package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// TestTablesStaySmallBesideALongTransaction: heartbeats of hours arrive while a transaction keeps
// the database from reusing space. The rows stay, and the tables stay small.
func TestTablesStaySmallBesideALongTransaction(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b.sees(2*time.Second, in)
	holder, err := pgx.Connect(t.Context(), server.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := holder.Exec(t.Context(),
		"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	for range 20 { // 4,000 heartbeats
		server.Exec(t, db, `DO $$ BEGIN FOR i IN 1..200 LOOP
			UPDATE skerry_lease SET heartbeat = now(); UPDATE skerry_told SET at = at; COMMIT; END LOOP; END $$`)
	}
	const size = "SELECT pg_relation_size('skerry_lease') + pg_relation_size('skerry_told')"
	grown := one[int64](t, server.URL(db), size)
	b.until(10*time.Second, "small tables",
		func(s registry.Snapshot) bool { return one[int64](t, server.URL(db), size) < 16*8192 })
	b.holds(3*time.Second, in)
	t.Logf("%d bytes became %d", grown, one[int64](t, server.URL(db), size))
	if n := one[int](t, server.URL(db),
		"SELECT count(*)::int FROM skerry_lease WHERE heartbeat > now() - interval '4 seconds'"); n != 1 {
		t.Errorf("%d processes go on beating, want the one that offers something", n)
	}
}
