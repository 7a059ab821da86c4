//go:build linux

package guarantees

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes that hold in both modes, on one machine and across hosts.

const (
	onTheLAN   = "mode: broadcast\nlan: {key: " + lab.SiteKey + "}"
	onLoopback = "mode: broadcast\nlan: {interfaces: [lo], key: " + lab.SiteKey + "}"
	noFloor    = "\nmemory: {floor: none}" // so that a growing heap has a cause
)

// inBothModes plays a scene four times, on one machine and on four hosts. The hosts reach the
// shared database by its Unix socket.
func inBothModes(t *testing.T, scene func(t *testing.T, s *site)) {
	for _, m := range []struct {
		name string
		site func(t *testing.T) *site
	}{
		{"broadcast", func(t *testing.T) *site { return newSite(t, onLoopback) }},
		{"database", func(t *testing.T) *site {
			pg := pgtest.Shared(t)
			return newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}",
				pg.URL(pg.CreateDB(t))))
		}},
		{"broadcast on hosts", func(t *testing.T) *site {
			s, _ := newLANSite(t, 4, onTheLAN)
			return s
		}},
		{"database on hosts", func(t *testing.T) *site {
			pg := pgtest.Shared(t)
			s, _ := newLANSite(t, 4, fmt.Sprintf("mode: database\ndatabase: {url: %q}", pg.SocketURL(pg.CreateDB(t))))
			return s
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			scene(t, m.site(t))
		})
	}
}

// warm waits until all of the providers have answered a consumer.
func (s *site) warm(names ...string) {
	s.t.Helper()
	for _, name := range names {
		eventually(s.t, setUp, "the first answer of "+name, func() bool {
			return !s.journal.firstAnswer(name).IsZero()
		})
	}
}

func TestNewInstanceIsCalled(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		s.provider("first", how{host: 0})
		s.consumer("caller", how{host: 3})
		s.warm("first")
		begin := time.Now()
		s.provider("second", how{host: 1})
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
		s.provider("stays", how{host: 0})
		leaver := s.provider("leaves", how{host: 1})
		s.consumer("caller", how{host: 3, hold: 20})
		s.warm("stays", "leaves")
		begin := time.Now()
		time.Sleep(200 * time.Millisecond)
		asked := leaver.stop()
		leaver.wait(40 * time.Second)
		time.Sleep(500 * time.Millisecond)
		late := s.journal.lastAnswer("leaves").Sub(asked)
		t.Logf("the last call to it began %v after SIGTERM", late.Round(time.Millisecond))
		if late > 300*time.Millisecond {
			t.Errorf("calls went to the stopping instance for %v, want at most 300 ms", late)
		}
		noFailures(t, s.journal, begin, time.Now())
	})
}

func TestKilledInstanceIsAvoided(t *testing.T) {
	inBothModes(t, func(t *testing.T, s *site) {
		s.provider("stays", how{host: 0})
		victim := s.provider("dies", how{host: 1})
		s.consumer("caller", how{host: 3, hold: 5})
		s.warm("stays", "dies")
		begin := time.Now()
		time.Sleep(200 * time.Millisecond)
		killed := victim.kill()
		victim.wait(10 * time.Second) // the kernel is slow on a busy machine
		died := time.Now()
		dying := died.Sub(killed)
		time.Sleep(3 * time.Second)
		failed := s.journal.failures(begin, time.Now())
		for _, r := range failed {
			t.Logf("failed %v after the kill: %s", r.start.Sub(killed).Round(time.Microsecond), r.text)
			if r.code != "connection_lost" && (r.code != "deadline_exceeded" || r.start.After(died)) {
				t.Errorf("a call failed as %s; only calls that had been sent may fail", r.code)
			}
			if r.start.Sub(died) > time.Second {
				t.Errorf("the dead instance was called %v after its death, want at most 1 s", r.start.Sub(died))
			}
		}
		if inFlight := 4 * (1 + int(dying/time.Second)); len(failed) > inFlight {
			t.Errorf("%d calls failed; only the %d that were in flight may", len(failed), inFlight)
		}
		total := len(s.journal.calls(func(r record) bool { return r.start.After(died) }))
		if total < 100 {
			t.Errorf("only %d calls after the kill: the scene proves nothing", total)
		}
		t.Logf("dead %v after the kill; %d calls after that, %d failed", dying.Round(time.Millisecond), total,
			len(failed))
	})
}

func TestRollingRestartFailsNoCall(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, s *site) {
		const n = 3
		var old [n]*process
		for i := range old {
			old[i] = s.provider(fmt.Sprint("old", i), how{host: i})
		}
		s.consumer("caller", how{host: 3, hold: 10, callers: 8})
		s.warm("old0", "old1", "old2")
		begin := time.Now()
		for i, p := range old {
			p.stop()
			p.wait(40 * time.Second)
			s.provider(fmt.Sprint("new", i), how{host: i})
			s.warm(fmt.Sprint("new", i)) // the next goes when this one serves
		}
		time.Sleep(time.Second)
		noFailures(t, s.journal, begin, time.Now())
	})
}
