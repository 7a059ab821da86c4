//go:build linux

package postgres_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// insertOld adds rows of owners that died long ago, with one lease each.
func insertOld(t *testing.T, server *pgtest.Server, db string, rows int) {
	t.Helper()
	server.Exec(t, db, fmt.Sprintf(`BEGIN;
		INSERT INTO skerry_lease SELECT 'site', 'old' || n || '/1/1', now() - interval '1 hour', interval '6 seconds'
			FROM generate_series(1, %[1]d) n;
		INSERT INTO skerry_instance SELECT 'site', 'auth', 'v1', '192.0.2.1', 1 + n %% 60000, 'old' || n || '/1/1',
			'skerry', '', 0, false, '{}', now() - interval '2 hours', (SELECT rev FROM skerry_revision), 0,
			now() - interval '2 hours' FROM generate_series(1, %[1]d) n;
		COMMIT; ANALYZE skerry_lease, skerry_instance`, rows))
}

// only returns a check that fails when a list shows other instances than these.
func only(want ...registry.Instance) func(registry.Snapshot) error {
	return func(s registry.Snapshot) error {
		if len(s.Instances) > len(want) {
			return fmt.Errorf("%d instances are listed, want %v only", len(s.Instances), want)
		}
		return nil
	}
}

// TestOldRows: 100,000 rows with a lease that ended an hour ago stand beside two live ones. No
// process ever lists one of them, each statement stays within its limit, and they expire in
// batches.
func TestOldRows(t *testing.T) { // alone, as it counts goroutines
	const rows = 100_000
	server := pgtest.Own(t, pgtest.Options{})
	db := server.CreateDB(t)
	log := &logged{}
	open := func() *node {
		cfg := quick(t, server.URL(db), newOwner())
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		return start(t, cfg)
	}
	a, b := open(), open()
	want := []registry.Instance{a.offer(), b.offer()}
	a.sees(20*time.Second, want...)
	b.sees(20*time.Second, want...)
	before := runtime.NumGoroutine()
	insertOld(t, server, db, rows)
	each := func(n *node) {
		t.Helper()
		n.until(20*time.Second, "the live", func(s registry.Snapshot) bool { return keeps(want...)(s) == nil },
			only(want...))
	}
	early := open()
	each(early)
	left := func() int {
		return one[int](t, server.SocketURL(db), "SELECT count(*)::int FROM skerry_instance WHERE gone = 0")
	}
	partly := false
	await(t, 5*time.Minute, "the end of the old", func() bool {
		each(a)
		each(early)
		n := left()
		partly = partly || n > 2 && n < rows
		return n == 2
	})
	if !partly {
		t.Error("they have gone at once, want batches")
	}
	if n := one[int](t, server.SocketURL(db), "SELECT count(*)::int FROM skerry_lease"); n != 2 {
		t.Errorf("%d leases, want 2", n)
	}
	each(open())
	if n := runtime.NumGoroutine() - before; n > 100 {
		t.Errorf("%d goroutines more, want at most 100", n)
	}
	if strings.Contains(log.String(), "makes no sense") {
		t.Errorf("the log says:\n%.3000s", log)
	}
}

// TestOlderDatabaseIsToldAgain: an older database comes back, in which the lease of a living
// process has run out. Its heartbeat reads twice, and it still lists itself again, because earlier
// readers have left it out.
func TestOlderDatabaseIsToldAgain(t *testing.T) {
	t.Parallel()
	for name, earlier := range map[string]string{
		"earlier changes": "UPDATE skerry_revision SET rev = rev - 1",
		"a row less":      "DELETE FROM skerry_told",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Shared(t)
			db := server.CreateDB(t)
			a := start(t, quick(t, server.URL(db), newOwner()))
			a.sees(10*time.Second, a.offer())
			before := one[string](t, server.SocketURL(db), "SELECT changed::text FROM skerry_instance")
			server.Exec(t, db,
				"BEGIN; UPDATE skerry_lease SET heartbeat = now() - interval '1 minute'; "+earlier+"; COMMIT")
			await(t, 30*time.Second, "it is listed again", func() bool {
				return one[string](t, server.SocketURL(db),
					"SELECT changed::text FROM skerry_instance WHERE gone = 0") != before
			})
		})
	}
}

// TestLapsedOwnerTellsAll: a process that was silent for longer than its lease is listed again as
// soon as it writes, also at readers that have never seen it.
func TestLapsedOwnerTellsAll(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cable := server.Proxy(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
	two := b.offer()
	a.sees(2*time.Second, in, two)
	// No process has marked it as expired yet, or will soon.
	server.Exec(t, db, "UPDATE skerry_cluster SET resumed = now() + interval '1 second'")
	cable.Cut()
	time.Sleep(500 * time.Millisecond) // the server has carried out its earlier statements
	server.Exec(
		t,
		db,
		`UPDATE skerry_lease SET heartbeat = now() - interval '1 minute' WHERE owner = '`+b.owner.String()+`';
		UPDATE skerry_instance SET changed = now() - interval '1 minute' WHERE owner = '`+b.owner.String()+`'`,
	)
	c := start(t, quick(t, server.URL(db), newOwner()))
	c.until(2*time.Second, "the live", func(s registry.Snapshot) bool { return keeps(in)(s) == nil }, only(in))
	cable.Heal()
	c.sees(10*time.Second, in, two)
	a.sees(10*time.Second, in, two)
}

// TestHeldLease: another session holds the leases of a living and of a dead process for longer than
// they are valid. The living process stays listed, and another one that dies expires.
func TestHeldLease(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b.sees(2*time.Second, in)
	cable := server.Proxy(t)
	dying := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
	b.sees(2*time.Second, in, dying.offer())

	holder, err := pgx.Connect(t.Context(), server.SocketURL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(t.Context())
	_, err = holder.Exec(t.Context(), "BEGIN; SELECT FROM skerry_lease WHERE owner = '"+a.owner.String()+"' FOR UPDATE")
	if err != nil {
		t.Fatal(err)
	}
	cable.Cut()
	gone := func(s registry.Snapshot) bool { return len(s.Instances) == 1 }
	b.until(30*time.Second, "the end of the dead", gone, keeps(in))
	b.holds(12*time.Second, in) // twice the validity
	newcomer := start(t, quick(t, server.URL(db), newOwner()))
	newcomer.sees(5*time.Second, in)
	if _, err := holder.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	b.holds(8*time.Second, in)
	newcomer.holds(0, in)
}

// TestRowDeletedByHand: a row that is deleted by hand is off the lists within a minute, and back
// when its owner lives.
func TestRowDeletedByHand(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	cable := server.Proxy(t)
	cfg := quick(t, cable.URL(server.URL(db)), newOwner())
	cfg.Expiry = time.Hour
	dead := start(t, cfg)
	in, two := a.offer(), dead.offer()
	b.sees(2*time.Second, in, two)
	cable.Cut()
	server.Exec(t, db, "DELETE FROM skerry_instance WHERE owner = '"+dead.owner.String()+"'")
	b.sees(90*time.Second, in)
	server.Exec(t, db, "DELETE FROM skerry_instance")
	await(t, 10*time.Second, "the living again", func() bool {
		return one[int](t, server.SocketURL(db), "SELECT count(*)::int FROM skerry_instance WHERE gone = 0") == 1
	})
	b.sees(5*time.Second, in)
}
