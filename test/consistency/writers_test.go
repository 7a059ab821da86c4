//go:build linux

package consistency

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestOperatorsOnOneDatabase: two operators do every step at the same time. Then operators are
// killed between any two statements of a step, while the database makes them wait there.
func TestOperatorsOnOneDatabase(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "database", pgtest.Options{})
	db.begin()
	s.both("start", "--by", "ann", "--reason", "a test")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("proc", "v2")
	s.both("ship", "auth", "--version", "v2")
	s.both("commit", "--ramp", "30,100", "--every", "500ms")
	s.both("clean")

	s.serve(2, "auth-3", "auth", "v3")
	for _, m := range moments {
		db.killed(m, "start", "--by", "bob", "--reason", "another")
	}
	s.done("start", "--by", "bob", "--reason", "another")
	s.done("ship", "auth", "--version", "v3")
	for _, m := range moments {
		db.killed(m, "commit")
	}
	s.done("commit")
	for _, m := range moments {
		db.killed(m, "clean")
	}
	s.done("clean")
	v := s.judge(1000)
	if n := len(v.history.Entries); n < 12 {
		t.Errorf("%d entries in the log", n)
	}
}

// both gives a step to two operators at once; one at least does it.
func (s *site) both(args ...string) {
	s.t.Helper()
	one, other := s.operator(0, args...), s.operator(1, args...)
	said1, err1 := one.done()
	said2, err2 := other.done()
	if err1 != nil && err2 != nil {
		s.t.Errorf("neither did %v:\n%s\n%s", args, said1, said2)
	}
}

// done does a step unless a killed operator has done it.
func (s *site) done(args ...string) {
	s.t.Helper()
	if said, err := s.operator(0, args...).done(); err != nil {
		s.t.Logf("%v, it seems, was done before:\n%s", args, said)
	}
}

// moment is a place between two statements of a step, where a lock holds it up.
type moment struct{ name, lock string }

var moments = []moment{
	{"before it reads", "LOCK TABLE skerry_rule IN ACCESS EXCLUSIVE MODE"},
	{"before it is the only writer",
		"INSERT INTO skerry_head (cluster) VALUES ($1) ON CONFLICT (cluster) DO UPDATE SET n = skerry_head.n"},
	{"before it writes", "LOCK TABLE skerry_rule IN EXCLUSIVE MODE"},
	{"before it commits", "SELECT pg_advisory_lock(4711)"},
	{"when it has committed", ""},
}

// atCommit makes every entry wait, at the very end, for the lock 4711.
const atCommit = `CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER wait_for_test AFTER INSERT ON skerry_rule DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION wait_for_test();`

// killed kills an operator at a moment of a step.
func (d *database) killed(m moment, args ...string) {
	s := d.site
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	hold, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(s.t, err)
	defer hold.Close(ctx)
	look, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(s.t, err)
	defer look.Close(ctx)
	var before int
	must(s.t, look.QueryRow(ctx, "SELECT count(*) FROM skerry_rule").Scan(&before))
	_, err = hold.Exec(ctx, "DO $do$ BEGIN IF to_regproc('wait_for_test') IS NULL THEN "+
		"EXECUTE $ddl$ "+atCommit+" $ddl$; END IF; END $do$")
	must(s.t, err)
	tx, err := hold.Begin(ctx)
	must(s.t, err)
	switch {
	case m.lock == "":
	case m.lock == moments[1].lock:
		_, err = tx.Exec(ctx, m.lock, s.cluster)
	default:
		_, err = tx.Exec(ctx, m.lock)
	}
	must(s.t, err)
	o := s.operator(0, args...)
	who := fmt.Sprintf("%%%s/%d/%%", hostName(0), o.Cmd.Process.Pid)
	s.await(fmt.Sprintf("%v waits %s", args, m.name), func() (there bool) {
		sql := "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE $1"
		arg := any(who)
		if m.lock == "" {
			sql, arg = "SELECT count(*) > $1 FROM skerry_rule", before
		}
		err := look.QueryRow(ctx, sql, arg).Scan(&there)
		return err == nil && there || o.over()
	})
	if o.over() {
		s.t.Logf("%v was over before it could be killed %s:\n%s", args, m.name, o.said())
	}
	o.Kill()
	must(s.t, tx.Rollback(ctx))
	_, err = hold.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	must(s.t, err)
	s.more(5)
}
