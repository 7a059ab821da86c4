//go:build linux

package consistency

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// The schedules of several operators at once, and of operators that die.

// TestPartition: the network is cut into two halves, each with every service and an operator. Both
// operators try to commit. Neither half can know the other's state, so neither commits until one
// operator declares the other half dead. That half is alive, and learns the commit when the network
// is whole again (A15).
func TestPartition(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1, 3)
	for _, host := range []int{1, 3} {
		s.serve(host, fmt.Sprint("auth-1-", host), "auth", "v1")
		s.serve(host, fmt.Sprint("proc-1-", host), "proc", "v1")
		s.users(host, fmt.Sprint("users-", host), part{Workers: 2, Plans: []plan{
			call("portal", call("auth"), call("proc", call("auth"))),
		}}, host)
	}
	s.open("ann")
	for _, host := range []int{1, 3} {
		s.serve(host, fmt.Sprint("auth-2-", host), "auth", "v2")
		s.serve(host, fmt.Sprint("proc-2-", host), "proc", "v2")
	}
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	before := len(s.log())

	over := s.fault(append(lost, "version_unavailable", "rules_needed", "canceled")...)
	s.lan.Partition(0, 1)
	here, there := s.operator(0, "commit"), s.operator(2, "commit")
	for _, o := range []*operator{here, there} {
		if said, err := o.done(); err == nil || !strings.Contains(said, "do not answer") {
			t.Errorf("one half of the network committed: %v\n%s", err, said)
		}
	}
	here, there = s.operator(0, "commit", "--dead", hostName(3)), s.operator(2, "commit")
	here.must()
	if said, err := there.done(); err == nil {
		t.Errorf("the other half committed, too\n%s", said)
	}
	pause(t.Context(), 2*time.Second)
	s.lan.Partition()
	s.await("the other half learns of the commit", func() bool {
		return s.book.count(began, func(n note) bool {
			return n.Service == "portal" && strings.HasPrefix(n.ID, "portal-3") && n.Applied == fmt.Sprint(before+1)
		}) > 0
	})
	pause(t.Context(), 2*time.Second)
	over()
	s.insist("clean")
	v := s.judge(1000)
	commits := 0
	for _, e := range v.history.Entries {
		if strings.HasPrefix(e.Step, "commit") {
			commits++
		}
	}
	if commits != 1 {
		t.Errorf("%d commits are in the log, want 1", commits)
	}
}

// TestOperatorsAtOnce: two operators do every step at the same time. One of them succeeds, and the
// other gets the reason.
func TestOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1, 2)
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(3, "proc-1", "proc", "v1")
	s.users(1, "users", part{Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 1, 2)
	both := func(args ...string) {
		t.Helper()
		one, other := s.operator(0, args...), s.operator(3, args...)
		said1, err1 := one.done()
		said2, err2 := other.done()
		if err1 != nil && err2 != nil {
			t.Logf("neither did %v:\n%s\n%s", args, said1, said2)
			s.insist(args...)
		}
	}
	s.open("ann")
	s.serve(3, "auth-2", "auth", "v2")
	s.serve(1, "proc-2", "proc", "v2")
	both("ship", "auth", "--version", "v2")
	s.insist("ship", "auth", "--version", "v2")
	both("ship", "proc", "--version", "v2")
	both("commit", "--ramp", "30,100", "--every", "1s")
	pause(t.Context(), time.Second)
	both("clean")
	if said, err := s.operator(0, "clean").done(); err == nil {
		t.Errorf("a release that is over was cleaned:\n%s", said)
	}
	s.judge(1000)
}

// TestOperatorsDie: operators are killed -9 at moments spread over every step of a release, once
// with certainty after all processes have promised a commit and before one has it. The next
// operator continues.
func TestOperatorsDie(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1)
	last := s.serve(2, "portal-2", "portal", "v1", how{entry: true})
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(3, "proc-1", "proc", "v1")
	s.users(1, "users", part{Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 1)
	// Each attempt dies a little later after its phrase.
	die := func(phrase string, pauses []time.Duration, args ...string) {
		t.Helper()
		for _, p := range pauses {
			o := s.operator(0, args...)
			o.hears(phrase)
			pause(t.Context(), p)
			o.Kill()
		}
	}
	ms := func(n ...int) (out []time.Duration) {
		for _, i := range n {
			out = append(out, time.Duration(i)*time.Millisecond)
		}
		return out
	}
	die("", ms(780), "start", "--by", "ann", "--reason", "a test")
	if len(s.log()) == 0 {
		s.insist("start", "--by", "ann", "--reason", "a test")
	}
	s.insist("refresh")
	s.serve(3, "auth-2", "auth", "v2")
	die("1 of 1 up", ms(3), "ship", "auth", "--version", "v2")
	s.insist("ship", "auth", "--version", "v2")
	die("are sent to", ms(0, 5, 12), "commit", "--ramp", "10,20,30,40,50,100", "--every", "30s")

	last.freeze() // it does not promise, all others have
	o := s.operator(0, "commit")
	o.says("are sent to")
	pause(t.Context(), time.Second)
	o.Kill()
	last.thaw()
	s.insist("commit")
	die("are sent to", ms(4), "rollback")
	if newest(s.log()).State != rollout.RollingBack {
		s.insist("rollback")
	}
	die("", ms(900, 1500), "clean")
	if newest(s.log()).State != rollout.Stopped {
		s.insist("clean")
	}
	s.judge(1000)
}

// newest returns the release at the end of the log.
func newest(entries []rollout.Entry) (r rollout.Release) {
	for _, e := range entries {
		if e.Session != nil {
			r = *e.Session
		}
	}
	return r
}
