//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"
)

// The schedules of processes that are silent, late, or never ready.

// TestSilentIsNotDead: a root freezes for longer than any process keeps it on a list (A10). It
// delays the commit, and then the drain, with requests under way that need the old version. When it
// thaws, they continue. Meanwhile a root returns with the rules on its disk (A12). An endless trace
// is named, and its process killed (A24). Two operators clean at once, and one of them is killed
// during a round (A11).
func TestSilentIsNotDead(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, strings.Replace(onTheLAN, "lan: {", "lan: {announce: 2s, ", 1))
	hangs := s.portals(1, 2)[0]
	absent := s.serve(3, "portal-3", "portal", "v1", how{entry: true})
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(3, "auth-1a", "auth", "v1")
	s.serve(2, "auth-1b", "auth", "v1")
	usual := []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		call("portal", call("auth").rested(300*time.Millisecond), call("auth")),
	}
	s.users(3, "users", part{Workers: 6, Plans: usual}, 2)
	s.users(1, "users-of-the-hanging", part{Workers: 3, Plans: usual}, 1)
	endless := s.job(2, "endless", part{Workers: 1, Plans: []plan{call("", call("auth")).rested(time.Hour)}})
	s.open("ann")
	s.serve(3, "auth-2a", "auth", "v2")
	s.serve(2, "auth-2b", "auth", "v2")
	s.ship("auth", "v2")
	absent.stop()

	over := s.faultOf("users-of-the-hanging", lost...)
	hangs.freeze()
	if said, err := s.operator(0, "commit").done(); err == nil || !strings.Contains(said, hangs.id()) {
		t.Errorf("commit with a process that hangs: %v, want a word of %s:\n%s", err, hangs.id(), said)
	}
	pause(t.Context(), time.Second)
	hangs.thaw()
	pause(t.Context(), 500*time.Millisecond)
	s.insist("commit")
	first := s.operator(0, "clean")
	first.says(endless.id())
	hangs.freeze()
	first.says(hangs.id())
	second := s.operator(3, "clean")
	second.says(hangs.id())
	s.serve(3, "portal-3b", "portal", "v1", how{entry: true, state: "portal-3"})
	late := s.users(1, "users-of-the-late", part{Workers: 2, Plans: usual}, 3)
	first.Kill()
	pause(t.Context(), 8*time.Second)
	if said := s.operator(0, "holders").must(); !strings.Contains(said, hangs.id()) ||
		!strings.Contains(said, endless.id()) {
		t.Errorf("holders name neither or one of %s and %s:\n%s", hangs.id(), endless.id(), said)
	}
	hangs.thaw()
	pause(t.Context(), 2*time.Second)
	if second.over() {
		t.Errorf("cleaned while a trace had not ended:\n%s", second.said())
	}
	endless.Kill()
	third := s.operator(0, "clean")
	second.must()
	_, _ = third.done() // it may find the release ended
	over()
	pause(t.Context(), time.Second)
	late.stop()
	s.judge(1000)
}
