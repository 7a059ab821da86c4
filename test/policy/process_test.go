//go:build linux

package policy

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// Policies that keep one provider of plain without calls, and one that keeps a caller away.
const (
	onlyA   = `{weights: [{zone: hall-2, weight: 0}]}`
	onlyB   = `{weights: [{zone: hall-1, weight: 0}]}`
	notNear = `{access: {mode: enforce, default: allow, deny: [{caller: near}]}}`
)

// spare is the scene of plain with one of onlyA and onlyB.
func spare(who string) scene { return scene{kind: "plain", hidden: with, says: spares(who)} }

// TestProcessesComeBack: a process that is killed and started again obeys the policy from its first call on, also one
// that was away while the policy changed, and also a callee.
func TestProcessesComeBack(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, lines string) {
		s := newSite(t, lines)
		s.sees(spare("b"), with, s.apply("plain", onlyA))
		s.journal.process("near").kill()
		s.obeysFromTheFirst("near", "a")

		s.journal.process("far").kill()
		s.changes("apply", s.text("plain", onlyB))
		s.obeysFromTheFirst("far", "b")

		frozen := s.journal.process("near")
		must(t, syscall.Kill(frozen.pid, syscall.SIGSTOP))
		s.apply("plain", onlyA)
		thawed := time.Now()
		must(t, syscall.Kill(frozen.pid, syscall.SIGCONT))
		took := s.sees(spare("b"), with, thawed)
		t.Logf("a process that was stopped obeys %v after it goes on", took.Round(time.Millisecond))

		// The processes that were killed may still be listed, and do not make it fail.
		if said, code := s.runs(hostNear, "policy", "apply", s.text("plain", notNear)); code != 0 ||
			!strings.Contains(said, "is obeyed by 4 of ") {
			t.Fatalf("apply beside killed processes: exit code %d\n%s", code, said)
		}
		for _, name := range []string{"a", "b"} {
			s.journal.process(name).kill()
		}
		begun := time.Now()
		for _, name := range []string{"a", "b"} {
			s.start(name)
		}
		s.call(wish{Service: "plain"})
		s.await("far is answered, near is refused by both", func() bool {
			refused := s.journal.of("near", "plain", begun)
			return len(s.answers("far", begun, "a")) > 0 && len(s.answers("far", begun, "b")) > 0 &&
				slices.ContainsFunc(refused, func(c call) bool { return c.code == "access_denied" })
		})
		if ran := s.answers("near", begun, ""); len(ran) > 0 {
			t.Errorf("callees that started again executed %d calls that the policy refuses, the first for %v", len(ran),
				ran[0])
		}
	})
}

// answers are the calls to plain that a provider has answered, "" for any.
func (s *site) answers(caller string, from time.Time, who string) []call {
	return slices.DeleteFunc(s.journal.of(caller, "plain", from), func(c call) bool {
		return c.code != "ok" || who != "" && c.who != who
	})
}

// obeysFromTheFirst starts a caller that calls plain as soon as it is open, and fails when a provider other
// than who has answered.
func (s *site) obeysFromTheFirst(caller, who string) {
	s.t.Helper()
	begun := time.Now()
	s.start(caller, wish{Service: "plain", Workers: 1, Pause: 4 * time.Millisecond})
	s.await(caller+" calls", func() bool { return len(s.answers(caller, begun, who)) >= enough })
	for i, c := range s.journal.of(caller, "plain", begun) {
		if c.code == "ok" && c.who != who { // a provider that has just restarted too may not be found yet
			s.t.Fatalf("call %d of %s after its start: %+v, want an answer of %s", i+1, caller, c, who)
		}
	}
}

// TestPolicyWithoutTheDatabase: while the database is stopped an operator changes the policy, all processes obey it,
// and obey it from the disk when they start anew. The next change brings both to the database.
func TestPolicyWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]func(string) string{"auto": inBoth, "database": inTheDatabase} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Own(t, pgtest.Options{})
			s := newSite(t, lines(pg.SocketURL(pg.CreateDB(t))))
			s.sees(spare("b"), with, s.apply("plain", onlyA))
			must(t, pg.Stop())
			// An operator on the host of a process, with its configuration.
			o := s.operator(hostNear, s.path("near.yaml"), "policy", "apply", s.text("plain", onlyB))
			if o.asked() {
				o.yes()
			}
			said, code := o.end()
			if code != 0 || !strings.Contains(said, "The database does not have it yet") {
				t.Fatalf("apply without the database: exit code %d\n%s", code, said)
			}
			took := s.sees(spare("a"), with, o.at)
			t.Logf("without the database obeyed after %v", took.Round(time.Millisecond))

			for _, name := range callers {
				s.journal.process(name).stop() // which saves the list of providers
			}
			if name == "auto" { // in mode database a provider that starts anew is found when the database is back
				for _, name := range []string{"a", "b"} {
					s.journal.process(name).kill()
				}
				for _, name := range []string{"a", "b"} {
					s.start(name)
				}
			}
			for _, name := range callers {
				s.obeysFromTheFirst(name, "b")
			}

			must(t, pg.Start())
			s.await("the next change reaches the database", func() bool {
				said, code := s.runs(hostNear, "policy", "apply", s.text("plain", onlyA))
				return code == 0 && !strings.Contains(said, "does not have it yet")
			})
			fresh := s.configure("fresh", s.lines, "")
			o = s.operator(hostFar, fresh, "policy", "history")
			if said, code := o.end(); code != 0 || strings.Count(said, "cli") < 3 {
				t.Errorf("history from the database: exit code %d\n%s", code, said)
			}
		})
	}
}

// TestPolicyBesideTheDatabase: a change that an operator can write to the database only, as no process is reached from
// there, is obeyed within a second with notifications, and with the next read behind a pooler that loses them.
func TestPolicyBesideTheDatabase(t *testing.T) {
	t.Parallel()
	const poll = 2 * time.Second
	for _, tc := range []struct {
		name   string
		pooled bool
		within time.Duration
	}{{"notified", false, bound}, {"polled", true, poll + bound}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Shared(t)
			db := pg.CreateDB(t)
			url := pg.URL(db)
			pace := ""
			if tc.pooled {
				url = pg.Pooler(t, db)
				pace = ", heartbeat: 2s, expiry: 6s, poll: " + poll.String()
			}
			lines := strings.Replace(inTheDatabase(url), "lan: {", "lan: {interfaces: [lo], ", 1)
			s := prepare(t, strings.Replace(lines, "\"}\n", "\""+pace+"}\n", 1))
			s.local = true
			s.begin()
			at := s.configure("operator", inTheDatabase(pg.SocketURL(db)), "")
			for i, sc := range []scene{spare("b"), spare("a"), spare("b")} {
				o := s.operator(hostNear, at, "policy", "apply", s.text("plain", []string{onlyA, onlyB, onlyA}[i]))
				if o.asked() {
					o.yes()
				}
				took := s.settles(sc, with, o.at)
				said, _ := o.end()
				t.Logf("obeyed after %v", took.Round(time.Millisecond))
				if took > tc.within {
					t.Errorf("obeyed after %v, want %v at most", took, tc.within)
				}
				if !strings.Contains(said, "obeyed by 0 of ") {
					t.Errorf("the operator reaches processes, so the scene proves nothing:\n%s", said)
				}
			}
		})
	}
}
