//go:build linux

package consistency

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/tracecontext"
)

// The schedules of input from outside the protocol.

// shares checks the rest of C10: the share of keys that meet a version is the share in the rules,
// within five standard deviations.
func (v verdict) shares(t *testing.T, service string) {
	t.Helper()
	type split struct {
		version string
		share   float64
		met     map[uint64]bool // by seed, whether it met the version
	}
	splits := map[rollout.Generation]*split{}
	for _, e := range v.history.Entries {
		if r, ok := e.Rules[service]; ok && len(r.Split) == 1 {
			splits[e.Generation] = &split{r.Split[0].Version, float64(r.Split[0].PerMyr) / rollout.Whole,
				map[uint64]bool{}}
		}
	}
	for _, span := range v.history.Spans {
		if sp := splits[span.Token.Generation]; sp != nil && span.Service == service && !span.Begin.IsZero() &&
			span.Token.Mark == "" {
			sp.met[span.Token.Seed] = span.Version == sp.version
		}
	}
	for g, sp := range splits {
		n, hits := float64(len(sp.met)), 0.0
		for _, met := range sp.met {
			if met {
				hits++
			}
		}
		if n < 20 {
			continue
		}
		if off := math.Abs(hits - n*sp.share); off > 5*math.Sqrt(n*sp.share*(1-sp.share)) {
			t.Errorf("C10: generation %v gives %.0f %% to %s, which %v of %v keys met", g, 100*sp.share, sp.version,
				hits, n)
		}
	}
}

// TestLostContext: a service makes calls with a context of its own (A22). A strict site refuses
// them without executing anything. In a migrating site they are counted traces of their own.
func TestLostContext(t *testing.T) {
	t.Parallel()
	t.Run("strict", func(t *testing.T) {
		t.Parallel()
		s := forgetful(t, onTheLAN)
		s.fault("orphan")
		s.releaseAuth()
		v := s.judge(1000)
		if v.failed == 0 || s.book.count(refused, func(n note) bool { return n.Code == "orphan" }) < v.failed {
			t.Errorf("%d requests failed, %d calls were refused", v.failed, s.book.count(refused, nil))
		}
	})
	t.Run("migrate", func(t *testing.T) {
		t.Parallel()
		s := forgetful(t, migrating(onTheLAN))
		s.releaseAuth()
		s.await("there are requests", func() bool { return s.book.count(asked, nil) >= 1000 })
		s.quiet()
		v := s.history(s.log())
		lost := 0
		for _, f := range v.history.Check() {
			if f.Rule == "C3" {
				lost++ // its caller gets the refusal
				continue
			}
			t.Errorf("%v", f)
		}
		forgotten := s.book.count(began, func(n note) bool { return n.Service == "auth" && n.Parent == "" })
		t.Logf("%d requests, %d failed, %d calls outside any trace", v.requests, v.failed, forgotten)
		if lost == 0 || lost != forgotten || v.failed > 0 {
			t.Errorf("%d requests, %d failed; the checker found %d spans without a trace, want %d", v.requests,
				v.failed, lost, forgotten)
		}
	})
}

// forgetful is a site with one service that loses contexts.
func forgetful(t *testing.T, lines string) *site {
	s := newSite(t, 3, lines)
	s.portals(1)
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(2, "auth-1", "auth", "v1")
	s.users(1, "users", part{Plans: []plan{
		call("portal", call("auth"), call("auth")),
		call("portal", call("auth"), call("proc", call("auth")).forgets()),
	}}, 1)
	return s
}

// releaseAuth releases auth v2 from begin to end.
func (s *site) releaseAuth() {
	s.t.Helper()
	s.open("ann")
	s.serve(1, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	pause(s.t.Context(), time.Second)
	s.release("commit")
	pause(s.t.Context(), time.Second)
	s.release("clean")
	pause(s.t.Context(), time.Second)
}

// TestForgedTokens: users send made-up tokens of generations that are far ahead or long gone, of
// another timeline, and of another log (A23). Their requests are refused, or served by one
// snapshot. No other request is affected.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	s.portals(1)
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(2, "auth-1", "auth", "v1")
	plans := []plan{call("portal", call("auth"), call("proc", call("auth")))}
	s.users(1, "users", part{Plans: plans}, 1)
	over := s.fault("rules_needed", "bad_message", "retired", "version_unavailable", "wrong_version", "rules_forked")
	var forgers []*process
	forger := func(name, token string) {
		forgers = append(forgers, s.users(1, "forger-"+name,
			part{Workers: 1, Plans: plans, Baggage: tracecontext.TokenMember + "=" + token}, 1))
	}
	for name, g := range map[string]rollout.Generation{
		"ahead": {N: math.MaxUint64}, "little-ahead": {N: 1000}, "timeline": {Timeline: math.MaxUint32, N: 1},
		"other": {N: 1},
	} {
		forger(name, rollout.Token{Generation: g, Seed: 1, Mark: "admin"}.String())
	}
	forger("nonsense", "AQEB")
	s.open("ann")
	log, err := rollout.Replay(s.log())
	must(t, err)
	gone := log.TokenAt(rollout.Generation{N: 1}, 1, "admin").String()
	forger("gone", gone)
	s.serve(1, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	pause(t.Context(), time.Second)
	s.release("commit")
	pause(t.Context(), time.Second)
	for _, f := range forgers {
		if f.Name == "forger-gone" { // while it runs, it holds the old version
			f.stop()
		}
	}
	s.release("clean")
	forger("gone-again", gone)
	pause(t.Context(), 2*time.Second)
	for _, f := range forgers {
		if s.book.over(f.Name).IsZero() {
			f.stop()
		}
	}
	over()
	v := s.judge(1000)
	for _, n := range s.book.of(asked, func(n note) bool { return n.Process == "users" && n.Code != "" }) {
		t.Errorf("an honest request failed: %s: %s", n.Code, n.Text)
	}
	if v.failed < 200 {
		t.Errorf("%d forged requests were refused: the scene proves nothing", v.failed)
	}
	for name, want := range map[string]string{"forger-other": "rules_forked",
		"forger-gone-again": "version_unavailable", "forger-ahead": "bad_message",
		"forger-little-ahead": "rules_needed"} {
		t.Logf("%s: %v", name, v.codes(s, name))
		if v.codes(s, name)[want] == 0 {
			t.Errorf("no request of %s ended as %s: %v", name, want, v.codes(s, name))
		}
	}
}

// codes counts the outcomes of the requests of some users, "" for success.
func (v verdict) codes(s *site, users string) map[string]int {
	out := map[string]int{}
	for _, n := range s.book.of(asked, named(users)) {
		out[n.Code]++
	}
	return out
}

// TestClocks: on two hosts, processes have monotonic clocks that are an hour and five hours ahead
// of their neighbours' (A25). One of them freezes in the middle of requests. A neighbour that sees
// its start by another clock must not count it as dead.
func TestClocks(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	ahead := func(hours int) how {
		seconds := fmt.Sprint(hours * 3600)
		return how{wrap: []string{"unshare", "--time", "--monotonic", seconds, "--boottime", seconds, "--fork",
			"--kill-child"}}
	}
	s.serve(1, "portal-1", "portal", "v1", how{entry: true, wrap: ahead(1).wrap})
	s.serve(2, "auth-1", "auth", "v1", ahead(5))
	s.serve(2, "proc-1b", "proc", "v1")
	s.serve(3, "auth-1b", "auth", "v1")
	hangs := s.serve(3, "proc-1", "proc", "v1", ahead(1))
	end := s.gate("end")
	job := s.job(3, "job", part{Workers: 1, Pause: time.Hour, Plans: []plan{
		call("", call("auth"), call("auth").until(end).stubborn().waitedFor(time.Minute), call("proc", call("auth"))),
	}})
	s.users(1, "users", part{Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 1)
	s.open("ann")
	s.serve(2, "auth-2", "auth", "v2")
	s.serve(3, "auth-2b", "auth", "v2", ahead(5))
	s.ship("auth", "v2")
	pause(t.Context(), 2*time.Second)
	s.release("commit")
	cleaner := s.operator(0, "clean")
	cleaner.says("draining")
	over := s.fault(lost...)
	hangs.freeze()
	cleaner.says(hangs.id())
	s.opens(end)
	pause(t.Context(), 4*time.Second)
	if cleaner.over() {
		t.Errorf("cleaned without %s, which is alive:\n%s", hangs.id(), cleaner.said())
	}
	hangs.thaw()
	pause(t.Context(), time.Second)
	over()
	job.stop()
	cleaner.must()
	s.judge(1000)
}

// TestPlainHop: in the middle of a request is a server of Apache Thrift without tokens (A26). It
// calls back through an entry, and begins a trace of its own there. Before and after it everything
// is consistent.
func TestPlainHop(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4, onTheLAN)
	s.portals(1)
	s.serve(2, "auth-1", "auth", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	const port = 9090
	s.start(3, part{Role: "plain", Name: "legacy", Listen: fmt.Sprint(":", port),
		Doors: []string{fmt.Sprintf("%s:%d", s.lan.Host(1).IP(0), doorPort)}}, how{})
	announce := s.on(3, s.tool, "--config", s.configure("announcer", how{}), "announce", "--service", "legacy",
		"--addr", fmt.Sprintf("%s:%d", s.lan.Host(3).IP(0), port))
	s.lan.Host(3).StartCommand(announce)
	over := s.fault("version_unavailable", "no_instance") // until the announcement
	s.users(1, "users", part{Plans: []plan{
		call("portal", call("auth"), call("legacy", call("portal", call("auth"), call("proc", call("auth")))),
			call("auth"), call("proc")),
	}}, 1)
	s.await("calls by the plain server", func() bool {
		return s.book.count(began, func(n note) bool {
			return n.Service == "portal" && strings.Contains(n.Trace, "~")
		}) > 20
	})
	over()
	s.open("ann")
	s.serve(3, "auth-2", "auth", "v2")
	s.serve(3, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	pause(t.Context(), 2*time.Second)
	s.release("commit")
	pause(t.Context(), 2*time.Second)
	s.release("clean")
	s.judge(1000)
}
