//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestRestoredDatabase is A16: the database's disk returns to its state before the switch. The
// processes continue by the rules that they have applied. No step is possible until an operator
// adopts these rules on a new timeline. A process that starts meanwhile with the older rules meets
// no request that it may not.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "database", pgtest.Options{})
	db.begin()
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	must(t, db.Stop())
	must(t, db.Save())
	must(t, db.Start())
	s.release("commit", "--ramp", "40,100", "--every", "200ms")
	s.more(50)

	must(t, db.Stop())
	must(t, db.Return())
	must(t, db.Start())
	s.serve(2, "auth-2b", "auth", "v2")
	for _, step := range []string{"commit", "rollback", "clean"} {
		if said, err := s.operator(0, step).done(); err == nil || !strings.Contains(said, "adopt") {
			t.Errorf("%s of a log that was restored: %v\n%s", step, err, said)
		}
	}
	s.more(50)
	s.release("adopt", "--by", "bob")
	s.release("clean")
	v := s.judge(1000)
	if last := v.history.Entries[len(v.history.Entries)-1].Generation; last.Timeline != 1 {
		t.Errorf("the log ends with generation %v, want timeline 1", last)
	}
}

// TestSleeperAndLatecomer: in database mode, a process with an open trace freezes for longer than
// its lease (A10). While versions are drained and the database is away, another process returns
// with its rules from before the switch (A12). Neither is forgotten.
func TestSleeperAndLatecomer(t *testing.T) {
	t.Parallel()
	s, db := onDatabase(t, 4, "database", pgtest.Options{})
	db.begin()
	works := part{Workers: 2, Pause: 20 * time.Millisecond, Plans: []plan{
		call("", call("auth"), call("proc").held(time.Second), call("auth")),
	}}
	sleeper := s.job(0, "sleeper", works)
	first := s.job(0, "latecomer", works)
	s.await("both have worked", func() bool {
		return s.book.count(asked, func(n note) bool { return strings.HasPrefix(n.Trace, "sleeper/") }) > 2 &&
			s.book.count(asked, func(n note) bool { return strings.HasPrefix(n.Trace, "latecomer/") }) > 2
	})
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	first.stop()

	s.faultOf("sleeper", lost...)
	sleeper.freeze()
	s.release("commit")
	clean := s.operator(0, "clean")
	clean.says(sleeper.id())
	db.without(outages[0], func() {
		s.job(0, "late", works, how{state: "latecomer"})
		s.await("the latecomer works", func() bool {
			return s.book.count(asked, func(n note) bool { return strings.HasPrefix(n.Trace, "late/") }) > 2
		})
	})
	pause(t.Context(), 8*time.Second) // the sleeper's lease ends
	if said := s.operator(1, "holders").must(); !strings.Contains(said, sleeper.id()) {
		t.Errorf("the holders are without %s:\n%s", sleeper.id(), said)
	}
	sleeper.thaw()
	if _, err := clean.done(); err != nil { // the database was away
		s.insist("clean")
	}
	s.judge(1000)
}
