//go:build linux

package consistency

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// The schedules in which processes know different rules.

// TestCallersWithOldRules: two hosts receive neither the operator's calls nor packets of the LAN,
// while a ramp changes the rules everywhere else. One learns them only from calls (A13). Siblings
// of one trace reach two replicas of auth through callers there and elsewhere (A1, A2), and some
// call themselves and in circles (A27). The other host is an entry and learns nothing: it begins
// traces by old rules for users that are further elsewhere (A28).
func TestCallersWithOldRules(t *testing.T) {
	t.Parallel()
	callersWithOldRules(t, newSite(t, 5, onTheLAN))
}

func callersWithOldRules(t *testing.T, s *site) {
	const operators, deaf, alone = 0, 2, 4
	s.portals(1, alone)
	s.serve(deaf, "proc-1", "proc", "v1")
	s.serve(3, "proc-1b", "proc", "v1") // later processes can find it
	s.serve(3, "gate-1", "gate", "v1")
	s.serve(1, "auth-1a", "auth", "v1")
	s.serve(3, "auth-1b", "auth", "v1")
	circles := call("auth", call("auth"), call("proc", call("auth", call("auth"))))
	siblings := atOnce("portal", call("proc", call("auth")), call("gate", call("auth")), call("auth"))
	s.users(3, "users", part{Keys: 40, Workers: 3, Plans: []plan{siblings, call("portal", circles)}}, 1)
	s.users(3, "users-of-the-deaf", part{Keys: 40, Workers: 2, Plans: []plan{call("portal", call("auth"))}}, alone)
	s.open("ann")
	s.serve(1, "auth-2a", "auth", "v2")
	s.serve(3, "auth-2b", "auth", "v2")
	s.ship("auth", "v2")
	for _, host := range []int{deaf, alone} {
		s.lan.Host(host).BlockUDP(true)
		s.lan.Host(host).Deaf(operators)
	}
	s.release("commit", "--ramp", "10,20,35,50,65,80,90,100", "--every", "200ms", "--dead", hostName(deaf), "--dead",
		hostName(alone))
	for _, host := range []int{deaf, alone} {
		s.lan.Host(host).BlockUDP(false)
		s.lan.Host(host).Deaf()
	}
	s.release("clean")
	v := s.judge(1000)
	if n := v.generations("proc-1"); n < 8 {
		t.Errorf("calls have told the deaf host %d generations, want 8 at least", n)
	}
	ahead, behind := v.sticky(t, s, "auth", "v2")
	t.Logf("%d keys met v2; %d times a key met v1 later, by older rules of another root", ahead, behind)
	if ahead < 35 || behind == 0 {
		t.Error("the scene proves nothing of roots with different rules")
	}
}

// generations counts the generations at the start of a process's spans.
func (v verdict) generations(name string) int {
	seen := map[rollout.Generation]bool{}
	for _, span := range v.history.Spans {
		if strings.HasPrefix(span.ID, name+"#") {
			seen[span.Applied] = true
		}
	}
	return len(seen)
}

// sticky checks C10: while the share of a new version grows, no key returns to the old one, through
// any root. It returns how many keys have met the new version, and how often one met another
// version after that by the clock, through a root with older rules.
func (v verdict) sticky(t *testing.T, s *site, service, version string) (ahead, behind int) {
	t.Helper()
	keys := map[string]string{} // by trace
	for _, n := range s.book.of(asked, nil) {
		keys[n.Trace] = n.Key
	}
	growing := map[rollout.Generation]bool{} // generations in which the version has a share or all
	has := false
	for _, e := range v.history.Entries {
		if r, ok := e.Rules[service]; ok {
			has = r.Version == version || len(r.Split) > 0 && r.Split[0].Version == version
		}
		growing[e.Generation] = has
	}
	first := map[string]rollouttest.Span{} // by key, by generation the first that met the version
	for _, span := range v.history.Spans {
		if span.Token.Mark != "" { // a copy of a call, or a trace with a lane
			continue
		}
		if o, ok := first[keys[span.Trace]]; span.Service == service && span.Version == version &&
			!span.Begin.IsZero() &&
			(!ok || span.Token.Generation.Before(o.Token.Generation)) {
			first[keys[span.Trace]] = span
		}
	}
	back := 0
	for _, span := range v.history.Spans {
		o, ok := first[keys[span.Trace]]
		if span.Service != service || span.Version == version || span.Begin.IsZero() || !ok || span.Token.Mark != "" {
			continue
		}
		if growing[span.Token.Generation] && !span.Token.Generation.Before(o.Token.Generation) {
			if back++; back < 5 {
				t.Errorf("C10: %s met %s by generation %v (span %s) and %s by %v (span %s)", keys[span.Trace], version,
					o.Token.Generation, o.ID, span.Version, span.Token.Generation, span.ID)
			}
		}
		if span.Begin.After(o.Begin) {
			behind++
		}
	}
	return len(first), behind
}
