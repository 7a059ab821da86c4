//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"
)

// The schedules of several releases and of requests that outlast a step.

// TestReleaseOfTwo: a release of auth and proc is committed while requests are
// under way that have met only auth (A18).
func TestReleaseOfTwo(t *testing.T) {
	t.Parallel()
	releaseOfTwo(t, newSite(t, 4, onTheLAN), nil)
}

func releaseOfTwo(t *testing.T, s *site, db *database) {
	s.portals(0, 1)
	s.serve(2, "auth-1a", "auth", "v1")
	s.serve(3, "auth-1b", "auth", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	if db != nil {
		db.await("auth", "v1")
		db.await("proc", "v1")
	}
	s.users(3, "users", part{Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		atOnce("portal", call("auth"), call("proc", call("auth"))),
	}}, 0, 1)
	s.users(3, "users-with-time", part{Workers: 20, Plans: []plan{
		call("portal", call("auth").rested(time.Second), call("proc", call("auth"))),
	}}, 0, 1)
	s.open("ann")
	s.serve(2, "auth-2a", "auth", "v2")
	s.serve(3, "auth-2b", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	s.release("commit")
	s.release("clean")
	v := s.judge(1000)
	e := v.entry("commit")
	straddling := 0
	for _, span := range v.history.Spans {
		if span.Service == "proc" && span.Version == "v1" && span.Begin.After(e.At) {
			straddling++
		}
	}
	t.Logf("%d requests met auth before the commit and proc after it; auth %s, proc %s", straddling, v.versions("auth"),
		v.versions("proc"))
	if straddling < 10 {
		t.Error("the scene proves nothing")
	}
}

// TestOneReleaseAfterTheOther: a request is older than the switch of auth and than that of proc
// (A17). It delays the first release. No release can pass it: the second can't be opened before.
func TestOneReleaseAfterTheOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1)
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(3, "proc-1", "proc", "v1")
	s.users(1, "users", part{Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 1)
	s.open("ann")
	s.serve(3, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	end := s.gate("end")
	old := s.job(2, "old", part{Workers: 1, Pause: time.Hour, Plans: []plan{
		call("", call("auth"), call("proc", call("auth")).until(end).stubborn().waitedFor(time.Minute), call("proc")),
	}})
	s.await("the old trace has begun", func() bool {
		return s.book.count(began, func(n note) bool {
			return n.Service == "proc" && strings.HasPrefix(n.Trace, "old/")
		}) > 0
	})
	s.release("commit")
	cleaner := s.operator(0, "clean")
	cleaner.says("draining")
	if said, err := s.operator(3, "start", "--by", "bob", "--reason", "proc").done(); err == nil ||
		!strings.Contains(said, "ann") {
		t.Errorf("a second release was opened before the end of the first: %v\n%s", err, said)
	}
	s.opens(end)
	cleaner.must()
	old.stop()
	s.open("bob")
	s.serve(2, "proc-2", "proc", "v2")
	s.ship("proc", "v2")
	s.release("commit")
	s.release("clean")
	s.judge(1000)
}

// TestRampAndBack: the share of a release grows and is taken back, and another
// release brings a third version to the same users (A19).
func TestRampAndBack(t *testing.T) {
	t.Parallel()
	rampAndBack(t, newSite(t, 4, onTheLAN))
}

func rampAndBack(t *testing.T, s *site) {
	s.portals(1, 2)
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(3, "proc-1", "proc", "v1")
	s.users(1, "users", part{Keys: 200, Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 1, 2)
	s.open("ann")
	v2 := s.serve(3, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	ramp := s.operator(0, "commit", "--ramp", "10,50,100", "--every", "4s")
	ramp.says("50%")
	pause(t.Context(), 3*time.Second)
	ramp.Kill()
	s.release("rollback")
	s.release("clean")
	v2.gone()
	s.open("bob")
	s.serve(1, "auth-3", "auth", "v3")
	s.ship("auth", "v3")
	s.release("commit", "--ramp", "20,100", "--every", "4s")
	s.release("clean")
	v := s.judge(1000)
	v.sticky(t, s, "auth", "v2")
	v.sticky(t, s, "auth", "v3")
	v.shares(t, "auth")
	t.Logf("auth met in %s", v.versions("auth"))
}
