package guarantees

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes that hold in both modes, on one machine.

// mode is a way to find one another.
type mode struct {
	name  string
	lines func(t *testing.T) string // of every process's configuration
}

var broadcastMode = mode{"broadcast", func(*testing.T) string {
	return "mode: broadcast\nlan: {interfaces: [lo], key: guarantee-of-the-site}"
}}

var databaseMode = mode{"database", func(t *testing.T) string {
	pg := pgtest.Shared(t)
	return fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", pg.URL(pg.CreateDB(t)))
}}

func inBothModes(t *testing.T, scene func(t *testing.T, s *site)) {
	for _, m := range []mode{broadcastMode, databaseMode} {
		t.Run(m.name, func(t *testing.T) { scene(t, newSite(t, m.lines(t))) })
	}
}

// warm waits until a consumer is answered by all of the providers.
func (s *site) warm(names ...string) {
	s.t.Helper()
	for _, name := range names {
		eventually(s.t, 10*time.Second, "the first answer of "+name, func() bool { return !s.journal.firstAnswer(name).IsZero() })
	}
}

func TestNewInstanceIsCalled(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		s.provider("first", how{})
		s.consumer("caller", how{})
		s.warm("first")
		begin := time.Now()
		s.provider("second", how{})
		s.warm("second")
		took := s.journal.firstAnswer("second").Sub(s.journal.at("second", "serve"))
		t.Logf("first answer %v after the start of the second provider", took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("the new instance was called after %v, want at most 1 s", took)
		}
		time.Sleep(time.Second)
		noFailures(t, s.journal, begin, time.Now())
	})
}

func TestPoliteStopFailsNoCall(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		s.provider("stays", how{})
		leaver := s.provider("leaves", how{})
		s.consumer("caller", how{hold: 20})
		s.warm("stays", "leaves")
		begin := time.Now()
		asked := leaver.stop()
		leaver.wait(40 * time.Second)
		time.Sleep(500 * time.Millisecond)
		late := s.journal.lastAnswer("leaves").Sub(asked)
		t.Logf("the last call to it began %v after SIGTERM", late.Round(time.Millisecond))
		if late > 300*time.Millisecond {
			t.Errorf("calls went to the stopping instance for %v, want at most 300 ms", late)
		}
		noFailures(t, s.journal, begin.Add(-time.Second), time.Now())
	})
}

func TestKilledInstanceIsAvoided(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		s.provider("stays", how{})
		victim := s.provider("dies", how{})
		s.consumer("caller", how{hold: 5})
		s.warm("stays", "dies")
		begin := time.Now()
		died := victim.kill()
		time.Sleep(3 * time.Second)
		failed := s.journal.failures(begin.Add(-time.Second), time.Now())
		for _, r := range failed {
			t.Logf("failed %v after the kill: %s", r.start.Sub(died).Round(time.Microsecond), r.text)
			if r.code != "connection_lost" {
				t.Errorf("a call failed as %s; only calls that had been sent may fail", r.code)
			}
			if r.start.Sub(died) > time.Second {
				t.Errorf("the dead instance was called %v after its death, want at most 1 s", r.start.Sub(died))
			}
		}
		if len(failed) > 4 {
			t.Errorf("%d calls failed; only the 4 that were in flight may", len(failed))
		}
		total := len(s.journal.calls(func(r record) bool { return r.start.After(died) }))
		if total < 100 {
			t.Errorf("only %d calls after the kill: the scene proves nothing", total)
		}
		t.Logf("%d calls after the kill, %d failed", total, len(failed))
	})
}

func TestRollingRestartFailsNoCall(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		const n = 3
		var old [n]*process
		for i := range old {
			old[i] = s.provider(fmt.Sprint("old", i), how{})
		}
		s.consumer("caller", how{hold: 10, callers: 8})
		s.warm("old0", "old1", "old2")
		begin := time.Now()
		for i, p := range old {
			p.stop()
			p.wait(40 * time.Second)
			s.provider(fmt.Sprint("new", i), how{})
		}
		s.warm("new0", "new1", "new2")
		time.Sleep(time.Second)
		noFailures(t, s.journal, begin, time.Now())
	})
}
