//go:build linux

package consistency

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// The schedules of lost answers and late messages.

// TestLostAnswers: relays in front of auth and proc break connections instead of passing answers,
// while a release of both is committed. Calls that the old version executed are executed again, and
// must be by the old version (A3). The operator loses answers as well.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lostAnswers(t, newSite(t, 4, repeatingOnTheLAN))
}

// repeatingOnTheLAN are the lines of a site where calls are executed again when their answer was lost.
const repeatingOnTheLAN = "mode: broadcast\nlan: {key: " + lab.SiteKey + "}\n" + repeating

func lostAnswers(t *testing.T, s *site) {
	s.portals(1, 2)
	var relays []*process
	behind := func(port, host int, name, service, version string) {
		_, r := s.behind(port, host, name, service, version)
		relays = append(relays, r)
	}
	behind(7001, 1, "auth-1a", "auth", "v1")
	behind(7001, 2, "auth-1b", "auth", "v1")
	behind(7002, 3, "proc-1", "proc", "v1")
	s.users(3, "users", part{Workers: 6, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth")), call("auth").rested(20*time.Millisecond),
			call("proc")),
	}}, 1, 2)
	s.open("ann")
	behind(7003, 1, "auth-2a", "auth", "v2")
	behind(7003, 2, "auth-2b", "auth", "v2")
	behind(7003, 3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	over := s.fault("connection_lost", "unreachable", "deadline_exceeded")
	for _, r := range relays {
		r.does("lose 41")
	}
	pause(t.Context(), 4*time.Second)
	s.insist("commit")
	pause(t.Context(), 4*time.Second)
	for _, r := range relays {
		r.does("lose 0")
	}
	pause(t.Context(), 500*time.Millisecond)
	over()
	s.insist("clean")
	v := s.judge(1000)
	twice := v.twice()
	t.Logf("%d calls were executed more than once; %s %s", twice, v.versions("auth"), v.versions("proc"))
	if twice < 20 {
		t.Error("hardly an answer was lost: the scene proves nothing")
	}
}

// insist repeats a step, as an operator on a bad network would.
func (s *site) insist(step ...string) {
	s.t.Helper()
	for range 10 {
		said, err := s.operator(0, step...).done()
		if err == nil {
			return
		}
		s.t.Logf("%s", said)
		_, _ = s.operator(0, "refresh").done() // the next try shows it
	}
	s.t.Fatalf("%v: it does not succeed", step)
}

// twice counts repeated executions of one span's call to one service.
func (v verdict) twice() (n int) {
	calls := map[[2]string]int{}
	for _, span := range v.history.Spans {
		if !span.Begin.IsZero() && span.Parent != "" {
			calls[[2]string{span.Parent, span.Service}]++
		}
	}
	for key, times := range calls {
		n += max(0, times-planned[key[1]])
	}
	return n
}

// planned is how often a span of TestLostAnswers may call a service.
var planned = map[string]int{"auth": 2, "proc": 2}

// TestLateMessages: while the old version is drained, calls continue that their callers gave up
// (A4), messages are still under way when their trace's root has long ended (A5), and chains of
// messages go from process to process (A6). All end at the old version, which must be there.
func TestLateMessages(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1)
	_, slow := s.behind(7001, 2, "mail-1", "mail", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(3, "gate-1", "gate", "v1")
	s.serve(3, "auth-1", "auth", "v1")
	tick := 250 * time.Millisecond
	s.users(1, "users", part{Workers: 8, Plans: []plan{
		call("portal", call("auth")),
		call("portal", call("proc", call("auth")).held(1500*time.Millisecond).givenUp(100*time.Millisecond)),
		call("portal", post("mail", call("auth"))),
		call("portal", chain(tick, "proc", "gate", "proc", "gate", "proc", "gate", "proc", "gate", "proc", "auth",
			"gate", "auth")),
	}}, 1)
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	slow.does("of " + s.lan.Host(1).IP(0) + ", calls 1200ms")
	pause(t.Context(), 5*time.Second)
	s.release("commit")
	s.operator(3, "holders").must()
	s.release("clean")
	v := s.judge(1000)
	var last rollouttest.Span
	switched := v.entry("commit").At
	for _, span := range v.history.Spans {
		if span.Service == "auth" && span.Version == "v1" && span.Begin.After(last.Begin) {
			last = span
		}
	}
	t.Logf("the last errand of auth v1 began %v after the commit (%s)",
		last.Begin.Sub(switched).Round(time.Millisecond), last.Trace)
	if last.Begin.Sub(switched) < time.Second {
		t.Error("nothing was late: the scene proves nothing")
	}
}
