//go:build linux

package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// back bounds, in the tests' intervals, what is 35 s by default: a pause of at most 5 s before the
// connection, then one heartbeat.
const back = 7*time.Second + time.Second

// TestDatabaseAway: in every failure of the server the list stays and the loss is detected within
// 10 s. No lease expires during or after it, and a process that registers meanwhile is listed
// afterwards.
func TestDatabaseAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		away    func(*pgtest.Server) error
		restore func(*pgtest.Server) error
	}{
		{"Stopped", (*pgtest.Server).Stop, (*pgtest.Server).Start},
		{"Frozen", (*pgtest.Server).Freeze, (*pgtest.Server).Thaw},
		{"Killed", (*pgtest.Server).Kill, (*pgtest.Server).Start},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Own(t, pgtest.Options{})
			url := server.URL(server.CreateDB(t))
			a, b := start(t, quick(t, url, newOwner())), start(t, quick(t, url, newOwner()))
			in := a.offer()
			b.sees(time.Second, in)

			if err := c.away(server); err != nil {
				t.Fatal(err)
			}
			b.until(10*time.Second, "the loss", lost, keeps(in))
			late := start(t, quick(t, url, newOwner()))
			late.until(10*time.Second, "the loss", lost)
			late.promise()
			b.holds(10*time.Second, in) // longer than the expiry of 6 s

			if err := c.restore(server); err != nil {
				t.Fatal(err)
			}
			b.until(back, "the return", live, keeps(in))
			b.sees(back, in, late.instance())
			late.sees(back, in, late.instance())
			b.holds(8*time.Second, in, late.instance())
		})
	}
}

// TestBlink: watchers see no loss in a restart that takes less than a second.
func TestBlink(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b.sees(time.Second, in)
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
	c := start(t, quick(t, server.URL(db), newOwner()))
	two := c.offer()
	notLost := func(s registry.Snapshot) error { return s.Lost }
	b.until(2*time.Second, "the newcomer", func(s registry.Snapshot) bool { return len(s.Instances) == 2 }, notLost,
		keeps(in))
	b.sees(time.Second, in, two)
	// A registration over connections of a pool that have just died.
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
	in.Weight = 5
	if err := a.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	b.sees(2*time.Second, in, two)
}

// TestTablesDropped: the tables are dropped by hand. They are made again, all processes are listed
// again, and no list is emptied on the way.
func TestTablesDropped(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, drop := range []string{
		"DROP TABLE skerry_lease CASCADE",
		"DROP TABLE skerry_instance CASCADE",
		"DROP TABLE skerry_revision, skerry_cluster",
		"DROP TABLE skerry_lease, skerry_instance, skerry_revision, skerry_cluster, skerry_schema, " +
			"skerry_call_stat CASCADE",
	} {
		t.Run(drop, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
			in := a.offer()
			b.sees(time.Second, in)
			server.Exec(t, db, drop)
			b.holds(2*back, in)
			fresh := start(t, quick(t, server.URL(db), newOwner()))
			fresh.sees(back, in)
		})
	}
}

// TestOlderBackup: the tables come back from before one registration was made and another removed.
func TestOlderBackup(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	old := a.offer()
	b.sees(time.Second, old)
	for _, table := range []string{"lease", "instance", "revision", "cluster"} {
		server.Exec(t, db, "CREATE TABLE saved_"+table+" AS TABLE skerry_"+table)
	}
	if err := a.Deregister(t.Context(), old.ID()); err != nil {
		t.Fatal(err)
	}
	current := b.offer()
	b.sees(time.Second, current)

	restore := "BEGIN;"
	for _, table := range []string{"lease", "instance", "revision", "cluster"} {
		restore += "DELETE FROM skerry_" + table + "; INSERT INTO skerry_" + table + " TABLE saved_" + table + ";"
	}
	server.Exec(t, db, restore+"COMMIT")
	b.holds(back, current)
	b.sees(back, current) // the backup showed the removed one, which was deregistered again
	start(t, quick(t, server.URL(db), newOwner())).sees(time.Second, current)
}

// TestReadOnlyMoment: while the server refuses writes for longer than every expiry, all known
// instances stay listed.
func TestReadOnlyMoment(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b.sees(time.Second, in)
	setReadOnly := func(on string) {
		server.Exec(t, db, "ALTER SYSTEM SET default_transaction_read_only = "+on)
		server.Exec(t, db, "SELECT pg_reload_conf()")
	}
	setReadOnly("on")
	b.holds(10*time.Second, in)
	late := start(t, quick(t, server.URL(db), newOwner()))
	late.sees(2*time.Second, in)
	late.promise()
	setReadOnly("off")
	b.holds(2*time.Second, in)
	b.sees(back, in, late.instance())
	b.holds(8*time.Second, in, late.instance())
}

// TestPromotedStandby: the primary dies and its standby is promoted. A process with both hosts in
// its URL finds the new primary.
func TestPromotedStandby(t *testing.T) {
	t.Parallel()
	primary := pgtest.Own(t, pgtest.Options{})
	db := primary.CreateDB(t)
	standby, err := primary.Standby(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	both := pgtest.URL(db, standby, primary) // the standby comes first, and the primary is still found
	a, b := start(t, quick(t, both, newOwner())), start(t, quick(t, both, newOwner()))
	reader := start(t, quick(t, standby.URL(db), newOwner()))
	in := a.offer()
	b.sees(time.Second, in)
	reader.sees(5*time.Second, in)

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	b.holds(8*time.Second, in)
	reader.holds(0, in)
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	late := start(t, quick(t, both, newOwner()))
	two := late.offer()
	b.sees(back, in, two)
	reader.sees(back, in, two)
	b.holds(8*time.Second, in, two)
	reader.holds(0, in, two)
}

// TestFrozenServerRevivesNobody: a process dies while its heartbeat waits in the frozen server. The
// heartbeat that is carried out afterwards must not renew the lease.
func TestFrozenServerRevivesNobody(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	db := server.CreateDB(t)
	cable := server.Proxy(t)
	cfg := quick(t, cable.URL(server.URL(db)), newOwner())
	cfg.Heartbeat, cfg.Poll, cfg.Expiry = time.Second, time.Second, 4*time.Second
	a := start(t, cfg)
	in := a.offer()
	b := start(t, quick(t, server.URL(db), newOwner()))
	b.sees(time.Second, in)
	before := one[time.Time](t, server.URL(db), "SELECT clock_timestamp()")
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	a.until(10*time.Second, "the loss", lost) // its heartbeats now wait in the server's sockets
	cable.Cut()
	b.until(10*time.Second, "the loss", lost)
	b.holds(3*time.Second, in)
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	b.until(back, "the return", live, keeps(in))
	late := one[bool](t, server.URL(db), "SELECT EXISTS (SELECT FROM skerry_lease WHERE owner = '"+in.Owner.String()+
		"' AND heartbeat > '"+before.Add(2*time.Second).Format(time.RFC3339Nano)+"')") // or removed already
	if late {
		t.Error("a heartbeat was written for a process that had died")
	}
	b.until(20*time.Second, "the end of the dead", func(s registry.Snapshot) bool { return len(s.Instances) == 0 })
}

// TestTooLongForANotification: a change that does not fit into a notification is read at once
// instead.
func TestTooLongForANotification(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	a.until(2*time.Second, "tables", live)
	b.until(2*time.Second, "tables", live)
	var all []registry.Instance
	for i := range 16 {
		in := a.instance()
		in.Port, in.Zone = 7000+i, strings.Repeat("z", registry.MaxName)
		in.Version = strings.Repeat("v", registry.MaxName)
		in.Tags = map[string]string{"long": strings.Repeat("t", 256-4)}
		all = append(all, in)
	}
	if err := a.Register(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	b.sees(time.Second, all...)
}

// TestSilentDatabaseEndsRunSoon: Run ends though the database does not answer.
func TestSilentDatabaseEndsRunSoon(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	cable := server.Proxy(t)
	a := start(t, quick(t, cable.URL(server.URL(server.CreateDB(t))), newOwner()))
	a.offer()
	cable.Cut()
	begun := time.Now()
	a.stop()
	if took := time.Since(begun); took > 3500*time.Millisecond {
		t.Errorf("the end of Run took %v", took)
	}
}
