//go:build linux

package consistency

import (
	"testing"
	"time"
)

// TestReleaseOfTwo: a plain release, under load, by three operators.
func TestReleaseOfTwo(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(0, 1)
	s.serve(2, "auth-1a", "auth", "v1")
	s.serve(3, "auth-1b", "auth", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	s.users(3, "users", part{Pause: 20 * time.Millisecond, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		atOnce("portal", call("auth"), call("proc", call("auth"))),
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
	t.Logf("auth met in %s, proc in %s", v.versions("auth"), v.versions("proc"))
}
