//go:build linux

package consistency

import (
	"fmt"
	"testing"
	"time"
)

// The schedules of processes that die.

// lost are the codes of requests that may fail when their processes die.
var lost = []string{"connection_lost", "unreachable", "deadline_exceeded", "no_instance"}

// TestCrashes kills -9, in one release of auth: a receiver with accepted but unacknowledged
// messages (A7), a sender with messages under way (A8), and a root with children that continue and
// call auth later (A9). The drain then waits for the remaining children.
func TestCrashes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	portals := s.portals(1, 2)
	accepts, relay := s.behind(7001, 3, "mail-1a", "mail", "v1")
	s.serve(1, "mail-1b", "mail", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(1, "auth-1a", "auth", "v1")
	s.serve(3, "auth-1b", "auth", "v1")
	s.users(3, "users", part{Workers: 6, Plans: []plan{
		call("portal", call("auth"), post("mail", call("auth")), call("auth")),
		call("portal", call("proc", call("auth")).held(1200*time.Millisecond).stubborn()),
		call("portal", call("auth")),
	}}, 1, 2)
	sender := s.job(3, "sender", part{Plans: []plan{
		call("", post("mail", call("auth").stubborn()), call("auth")),
	}})
	s.open("ann")
	s.serve(1, "auth-2a", "auth", "v2")
	s.serve(3, "auth-2b", "auth", "v2")
	s.ship("auth", "v2")
	pause(t.Context(), 3*time.Second)
	over := s.fault(lost...)
	relay.does("of " + s.lan.Host(1).IP(0) + ", answers 400ms")
	pause(t.Context(), time.Second)
	s.release("commit")
	accepts.Kill()
	relay.does("of " + s.lan.Host(3).IP(0) + ", answers 0s, calls 700ms")
	pause(t.Context(), time.Second)
	sender.Kill()
	portals[0].Kill()
	s.release("clean")
	pause(t.Context(), 500*time.Millisecond)
	over()
	pause(t.Context(), 2*time.Second)
	v := s.judge(1000)
	t.Logf("auth met in %s", v.versions("auth"))
}

// TestVersionDies: all instances of a version die: once those of the new one during a rollback
// (A20), once the last of the old one during its drain (A21). Requests that have begun with it fail
// and meet no other version. Later ones are served.
func TestVersionDies(t *testing.T) {
	t.Parallel()
	versionDies(t, newSite(t, 4, onTheLAN))
}

func versionDies(t *testing.T, s *site) {
	s.portals(1, 2)
	s.serve(3, "proc-1", "proc", "v1")
	stays := s.serve(3, "auth-1", "auth", "v1")
	s.users(2, "users", part{Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
	}}, 1, 2)
	s.users(3, "users-with-time", part{Workers: 20, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth")).held(3*time.Second)),
	}}, 1, 2)
	s.open("ann")
	dies := s.serve(1, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	s.release("commit")
	pause(t.Context(), 2*time.Second)
	over := s.fault(append(lost, "version_unavailable")...)
	before := len(s.log())
	back := s.operator(0, "rollback")
	s.await("a root knows of the rollback", func() bool {
		return s.book.count(began, func(n note) bool {
			return n.Service == "portal" && n.Applied == fmt.Sprint(before+1)
		}) > 0
	})
	dies.Kill()
	back.must()
	pause(t.Context(), time.Second)
	over()
	s.release("clean")
	pause(t.Context(), 2*time.Second)

	s.open("bob")
	s.serve(1, "auth-3", "auth", "v3")
	s.ship("auth", "v3")
	pause(t.Context(), 2*time.Second)
	s.release("commit")
	over = s.fault(append(lost, "version_unavailable")...)
	cleaner := s.operator(0, "clean")
	cleaner.says("draining")
	stays.Kill()
	cleaner.must()
	over()
	pause(t.Context(), 2*time.Second)
	v := s.judge(1000)
	t.Logf("auth met in %s", v.versions("auth"))
	if v.failed == 0 {
		t.Error("nothing has failed: the scene proves nothing")
	}
}
