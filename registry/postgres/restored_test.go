//go:build linux

package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// age makes a copy of the database as old as an interval says. A negative age is a copy on a server
// with a clock that is behind.
func age(interval string) string {
	return strings.ReplaceAll(`
		UPDATE skerry_lease SET heartbeat = heartbeat - {};
		UPDATE skerry_instance SET started = started - {}, changed = changed - {};
		UPDATE skerry_cluster SET pulse = pulse - {}, resumed = resumed - {}, cleaned = cleaned - {};
		UPDATE skerry_told SET at = at - {};`, "{}", "interval '"+interval+"'")
}

// tenMore adds instances of processes that lived when the copy was made. Their owners have died since.
const tenMore = `
	INSERT INTO skerry_lease SELECT 'site', 'old' || n || '/1/1', now(), interval '6 seconds'
		FROM generate_series(1, 10) n;
	INSERT INTO skerry_instance SELECT 'site', 'auth', 'v1', '192.0.2.1', n, 'old' || n || '/1/1', 'skerry', '', 0,
		false, '{}', now(), (SELECT rev FROM skerry_revision), 0, now() FROM generate_series(1, 10) n;`

// untold is a copy from between a change and its notification.
const untold = "UPDATE skerry_told SET rev = rev - 1;"

// always checks each list that a node has shown since the last call.
func (n *node) always(checks ...func(registry.Snapshot) error) {
	n.t.Helper()
	for len(n.shown) > 0 {
		n.last = <-n.shown
		for _, check := range checks {
			if err := check(n.last); err != nil {
				n.t.Fatal(err)
			}
		}
	}
}

// keepsAll is keeps as a condition of until.
func keepsAll(want ...registry.Instance) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return keeps(want...)(s) == nil }
}

// listed returns how many instances the table holds.
func listed(t *testing.T, server *pgtest.Server, db string) int {
	return one[int](t, server.SocketURL(db), "SELECT count(*)::int FROM skerry_instance WHERE gone = 0")
}

// TestRestoredBackup: a backup is restored that was made a minute ago, between a change and its
// notification. It holds twelve rows, ten of them of processes that have died since. No process that
// knew the living lists one of the ten, and no living one leaves a list.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db, past := server.CreateDB(t), server.CreateDB(t)
	open := func() *node { return start(t, quick(t, server.URL(db), newOwner())) }
	a, b, reader := open(), open(), open()
	want := []registry.Instance{a.offer(), b.offer()}
	for _, n := range []*node{a, b, reader} {
		n.sees(10*time.Second, want...)
	}
	server.Restore(t, past, server.Dump(t, db))
	server.Exec(t, past, "BEGIN;"+tenMore+untold+age("1 minute")+"COMMIT")
	backup := server.Dump(t, past)

	server.Restore(t, db, backup)
	newcomer := open()
	await(t, 40*time.Second, "the end of the old", func() bool {
		for _, n := range []*node{a, b, reader} {
			n.always(only(want...), keeps(want...))
		}
		return listed(t, server, db) == len(want)
	})
	for _, n := range []*node{a, b, reader, newcomer} {
		n.sees(10*time.Second, want...)
	}
}

// TestUntoldChangesOfTheDead: rows come into the table that no listener was notified of, with leases
// that have run out. The next notification brings none of them.
func TestUntoldChangesOfTheDead(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg := quick(t, server.URL(db), newOwner())
	cfg.Poll, cfg.Heartbeat, cfg.Expiry = time.Hour, time.Hour, 2*time.Hour // it only hears
	reader := start(t, cfg)
	reader.sees(10 * time.Second)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	reader.sees(10*time.Second, in)
	server.Exec(t, db, "BEGIN; UPDATE skerry_revision SET rev = rev + 1;"+tenMore+`
		UPDATE skerry_lease SET heartbeat = heartbeat - interval '1 minute' WHERE owner LIKE 'old%';
		UPDATE skerry_instance SET changed = changed - interval '1 minute' WHERE owner LIKE 'old%'; COMMIT`)
	two := in
	two.Port++
	if err := a.Register(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	reader.until(10*time.Second, "the next registration", keepsAll(in, two), only(in, two), keeps(in))
	a.always(only(in, two))
}

// copied are the tables with the rows of processes.
var copied = []string{"lease", "instance", "revision", "cluster", "told", "secret"}

// save makes a copy of the tables, and putBack returns the SQL that puts it in their place.
func save(t *testing.T, server *pgtest.Server, db string) {
	t.Helper()
	for _, table := range copied {
		server.Exec(t, db, "CREATE TABLE saved_"+table+" AS TABLE skerry_"+table)
	}
}

func putBack() string {
	sql := ""
	for _, table := range copied {
		sql += "DELETE FROM skerry_" + table + "; INSERT INTO skerry_" + table + " TABLE saved_" + table + ";"
	}
	return sql
}

// TestOwnRowsOfAnOlderCopy: a copy comes back within seconds, as after a fail-over to a standby that
// lacked the last changes. All leases are valid in it, and each process has as many rows as before.
// The rows are those of earlier registrations, which their owners write again.
func TestOwnRowsOfAnOlderCopy(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for name, change := range map[string]func(t *testing.T, a *node, in registry.Instance) registry.Instance{
		"another port": func(t *testing.T, a *node, in registry.Instance) registry.Instance {
			if err := a.Deregister(t.Context(), in.ID()); err != nil {
				t.Fatal(err)
			}
			in.Port++
			return in
		},
		"another weight": func(_ *testing.T, _ *node, in registry.Instance) registry.Instance {
			in.Weight = 7
			return in
		},
		"leaving": func(_ *testing.T, _ *node, in registry.Instance) registry.Instance {
			in.Leaving = true
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			a, reader := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
			in := a.offer()
			reader.sees(10*time.Second, in)
			save(t, server, db)
			now := change(t, a, in)
			if err := a.Register(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			reader.sees(10*time.Second, now)
			server.Exec(t, db, "BEGIN;"+putBack()+"UPDATE skerry_lease SET heartbeat = now(); COMMIT")
			await(t, 20*time.Second, "the row as it was registered last", func() bool {
				return listed(t, server, db) == 1 && one[bool](t, server.SocketURL(db), fmt.Sprintf(
					"SELECT port = %d AND weight = %d AND leaving = %t FROM skerry_instance WHERE gone = 0",
					now.Port, now.Weight, now.Leaving))
			})
			reader.sees(10*time.Second, now)
		})
	}
}

// TestCopyWithRevisionsAnew: an older copy comes back, and before a process reads, the revisions have
// grown beyond the one that it knows. It reads everything and finds what was listed in between.
func TestCopyWithRevisionsAnew(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, reader := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	reader.sees(10*time.Second, in)
	save(t, server, db)
	in.Weight = 7
	if err := a.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	reader.sees(10*time.Second, in)
	server.Exec(t, db, "BEGIN;"+putBack()+"UPDATE skerry_revision SET rev = rev + 1;"+tenMore+
		"UPDATE skerry_lease SET valid = '1 hour'; UPDATE skerry_revision SET rev = rev + 100;"+
		"UPDATE skerry_told SET rev = (SELECT rev FROM skerry_revision); COMMIT")
	reader.until(15*time.Second, "what was listed after the copy", func(s registry.Snapshot) bool {
		return len(s.Instances) == 11 && keeps(in)(s) == nil
	})
}

// TestClockBehindTheBackup: a backup is restored on a server with a clock that is behind it. The
// leases in it lie ahead, those of ten dead processes, too. No process that knew the living lists
// one of the ten. One that comes then lists what lived when the backup was made, until the living
// have renewed their leases.
func TestClockBehindTheBackup(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, behind := range []string{"1 hour", "50 hours", "20 years"} {
		t.Run(behind, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			cable := server.Proxy(t)
			open := func() *node { return start(t, quick(t, cable.URL(server.URL(db)), newOwner())) }
			a, reader := open(), open()
			in := a.offer()
			a.sees(10*time.Second, in)
			reader.sees(10*time.Second, in)
			cable.Cut()
			server.Exec(t, db, "BEGIN;"+tenMore+age("-"+behind)+"COMMIT")
			server.Exec(t, "postgres",
				"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
			newcomer := start(t, quick(t, server.URL(db), newOwner()))
			newcomer.until(10*time.Second, "the last write", keepsAll(in))
			cable.Heal()
			await(t, 40*time.Second, "the end of the old", func() bool {
				a.always(only(in), keeps(in))
				reader.always(only(in), keeps(in))
				newcomer.always(keeps(in))
				return listed(t, server, db) == 1
			})
			for _, n := range []*node{a, reader, newcomer} {
				n.sees(10*time.Second, in)
			}
		})
	}
}
