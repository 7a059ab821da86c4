//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestMixedModes: processes with database and LAN release together with processes on the LAN only,
// and the database is lost in the middle. An operator on the LAN only may not write a second log.
func TestMixedModes(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "auto", pgtest.Options{})
	lan := how{lines: onTheLAN}
	s.serve(3, "proc-1", "proc", "v1", lan)
	s.serve(1, "portal-1", "portal", "v1", how{lines: onTheLAN, entry: true})
	s.serve(0, "portal-0", "portal", "v1", how{entry: true})
	s.serve(2, "auth-1", "auth", "v1")
	db.await("auth", "v1")
	pause(t.Context(), 2*time.Second)
	s.users(3, "users", part{Pause: 20 * time.Millisecond, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
	}}, 0, 1)
	s.open("ann")
	s.serve(3, "proc-2", "proc", "v2", lan)
	s.serve(2, "auth-2", "auth", "v2")
	s.insist("ship", "auth", "--version", "v2")
	s.insist("ship", "proc", "--version", "v2")
	usual := s.lines
	s.lines = onTheLAN
	if said, err := s.operator(3, "commit").done(); err == nil || !strings.Contains(said, "by its database") {
		t.Errorf("an operator without the database: %v\n%s", err, said)
	}
	s.lines = usual
	for _, o := range outages {
		db.without(o, func() { s.frozen("commit"); s.more(30) })
	}
	s.insist("commit")
	db.without(outages[0], func() { s.frozen("clean"); s.more(30) })
	s.insist("clean")
	s.judge(1000)
}

// TestReleaseThroughPooler: PgBouncer in transaction mode stands before the database, so no
// notification arrives.
func TestReleaseThroughPooler(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "database", pgtest.Options{})
	s.lines = by("database", db.Pooler(t, db.name))
	db.begin()
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	s.release("commit", "--ramp", "30,100", "--every", "500ms")
	s.release("clean")
	s.judge(1000)
}

// TestDatabaseClockJumps is A25: between the steps of a release the database restarts with a clock
// that is an hour ahead, then with one an hour behind.
func TestDatabaseClockJumps(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "database", pgtest.Options{})
	db.begin()
	jump := func(ahead time.Duration) {
		t.Helper()
		must(t, db.Stop())
		must(t, db.SetClock(ahead))
		must(t, db.Start())
		s.more(30)
	}
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	jump(time.Hour)
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	jump(-time.Hour)
	s.insist("commit")                // a command gives a database that has just started 3 s
	pause(t.Context(), 4*time.Second) // leases are judged again
	jump(time.Hour)
	s.insist("clean")
	jump(0)
	s.judge(1000)
}
