//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// TestPlainRestartIsCaught updates versions without a release: it starts the new instances beside
// the old ones, and stops these. No request fails, and the checker must detect that requests met
// both versions.
func TestPlainRestartIsCaught(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(0, 1)
	old := []*process{
		s.serve(2, "auth-1a", "auth", "v1"), s.serve(3, "auth-1b", "auth", "v1"),
		s.serve(2, "proc-1a", "proc", "v1"), s.serve(3, "proc-1b", "proc", "v1"),
	}
	s.users(3, "users", part{Pause: 10 * time.Millisecond, Plans: []plan{
		call("portal", call("auth").rested(5*time.Millisecond), call("proc", call("auth"))),
	}}, 0, 1)
	s.await("some requests", func() bool { return s.book.count(asked, nil) > 500 })
	s.serve(2, "auth-2a", "auth", "v2")
	s.serve(3, "auth-2b", "auth", "v2")
	s.serve(2, "proc-2a", "proc", "v2")
	s.serve(3, "proc-2b", "proc", "v2")
	for _, p := range old {
		p.stop()
	}
	some := s.book.count(asked, nil)
	s.await("some more requests", func() bool { return s.book.count(asked, nil) > some+500 })
	s.quiet()
	v := s.history(nil)
	both := map[string]int{}
	for _, f := range v.history.Check() {
		if f.Rule != "C1" {
			t.Errorf("%v", f)
		}
		both[service(f)]++
	}
	t.Logf("%d requests, %d failed; met in two versions: %v; old and new mixed: %d", v.requests, v.failed, both,
		v.mixed("auth", "proc"))
	if both["auth"] == 0 {
		t.Error("the checker has noticed no request that met two versions of auth")
	}
	if v.mixed("auth", "proc") == 0 {
		t.Error("no request met an old version of one service and the new one of another: the scene proves nothing")
	}
}

// service returns the service of a C1 finding.
func service(f rollouttest.Finding) string {
	_, rest, _ := strings.Cut(f.Text, " met ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// mixed counts the traces that met different versions of two services.
func (v verdict) mixed(one, other string) (n int) {
	met := map[string]map[string]bool{}
	for _, span := range v.history.Spans {
		if !span.Begin.IsZero() && (span.Service == one || span.Service == other) {
			if met[span.Trace] == nil {
				met[span.Trace] = map[string]bool{}
			}
			met[span.Trace][span.Version] = true
		}
	}
	for _, versions := range met {
		if len(versions) > 1 {
			n++
		}
	}
	return n
}
