//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestDatabaseLostAtEveryStep is A14: before each step of a release of two services the database is
// lost, in one of three ways. Without it no step is done, and with it each is. No request is
// affected.
func TestDatabaseLostAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			s, db := onDatabase(t, 4, "database", pgtest.Options{})
			db.begin()
			step := func(args ...string) {
				t.Helper()
				db.without(o, func() { s.frozen(args...); s.more(30) })
				s.release(args...)
			}
			step("start", "--by", "ann", "--reason", "a test")
			s.serve(2, "auth-2", "auth", "v2")
			s.serve(3, "proc-2", "proc", "v2")
			step("ship", "auth", "--version", "v2")
			s.ship("proc", "v2")
			step("commit", "--ramp", "30,100", "--every", "100ms")
			step("clean")
			s.judge(1000)
		})
	}
}

// begin starts two services in their first version, two entries, users that send requests through
// both, and jobs that continue while versions switch.
func (d *database) begin() {
	s := d.site
	s.t.Helper()
	s.portals(0, 1)
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(3, "proc-1", "proc", "v1")
	d.await("auth", "v1")
	d.await("proc", "v1")
	s.users(3, "users", part{Pause: 20 * time.Millisecond, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		atOnce("portal", call("auth"), call("proc", call("auth"))),
	}}, 0, 1)
	s.job(1, "job", part{Workers: 2, Pause: 20 * time.Millisecond, Plans: []plan{
		call("", call("auth"), call("proc", call("auth")).held(2*time.Second), call("auth")),
	}})
	s.await("a job", func() bool {
		return s.book.count(asked, func(n note) bool { return strings.HasPrefix(n.Trace, "job/") }) > 0
	})
}
