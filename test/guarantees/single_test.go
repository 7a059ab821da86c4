//go:build linux

package guarantees

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The promises for a service of few instances: of one that restarts, and of two when the host of
// one dies.

// patient are the rules of a consumer with calls that may wait for a restart and may be sent again.
const patient = `consumers: {echo: {timeout: 12s, idempotent: ["*"]}}`

// plainly are the rules of a consumer with calls that may wait and are sent once.
const plainly = `consumers: {echo: {timeout: 12s}}`

// inEveryMode plays a scene on one machine in each of the three modes.
func inEveryMode(t *testing.T, scene func(t *testing.T, s *site)) {
	for _, mode := range []string{"broadcast", "database", "auto"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			extra := fmt.Sprintf("mode: %s\nlan: {interfaces: [lo], key: %s}", mode, lab.SiteKey)
			if mode != "broadcast" {
				pg := pgtest.Shared(t)
				extra += fmt.Sprintf("\ndatabase: {url: %q}", pg.URL(pg.CreateDB(t)))
			}
			scene(t, newSite(t, extra))
		})
	}
}

// TestSingleInstanceRestart: the only instance of a service is stopped politely and started again,
// and is killed and started again. Calls wait for the next one within their deadline.
func TestSingleInstanceRestart(t *testing.T) {
	t.Parallel()
	inEveryMode(t, func(t *testing.T, s *site) {
		now := s.provider("v0", how{})
		s.consumer("patient", how{site: s.extra + "\n" + patient, hold: 20})
		s.consumer("plain", how{site: s.extra + "\n" + plainly, hold: 20})
		s.warm("v0")
		begin := time.Now()
		for i, gap := range []time.Duration{0, time.Second, 3 * time.Second} {
			now.stop()
			now.wait(40 * time.Second)
			now = s.restart(fmt.Sprint("v", i+1), gap)
		}
		polite := time.Now()
		noFailures(t, s.journal, begin, polite)
		t.Logf("the longest call of a polite restart took %v", longest(s.journal, "", begin, polite))

		for i, gap := range []time.Duration{0, time.Second, 3 * time.Second} {
			now.kill()
			now.wait(10 * time.Second)
			now = s.restart(fmt.Sprint("v", i+4), gap)
		}
		all := s.journal.failures(polite, time.Now())
		failed := slices.DeleteFunc(all, func(r record) bool {
			return r.caller == "plain" && r.code == "connection_lost" && r.executed == "0" // it was in flight
		})
		for _, r := range failed[:min(5, len(failed))] {
			t.Errorf("%s: a call failed %v after the polite restarts: %s %s", r.caller, r.start.Sub(polite),
				r.code, r.text)
		}
		if in := len(all) - len(failed); in > 3*4 {
			t.Errorf("%d calls were lost with three kills, at most the 12 in flight may be", in)
		}
		t.Logf("killed three times: %d calls in flight were lost, the longest took %v",
			len(all)-len(failed), longest(s.journal, "", polite, time.Now()))
	})
}

// restart starts a provider after a while and waits until it has answered both callers.
func (s *site) restart(name string, gap time.Duration) *process {
	s.t.Helper()
	time.Sleep(gap)
	p := s.provider(name, how{})
	for _, caller := range []string{"patient", "plain"} {
		eventually(s.t, setUp, "an answer of "+name, func() bool {
			return !s.journal.firstAnswerTo(caller, name).IsZero()
		})
	}
	time.Sleep(300 * time.Millisecond)
	return p
}

// longest returns the time of the slowest call of a caller that began in [from, to); "" means any
// caller.
func longest(j *journal, caller string, from, to time.Time) (most time.Duration) {
	its := func(r record) bool { return caller == "" || r.caller == caller }
	for _, r := range j.calls(func(r record) bool { return its(r) && !r.start.Before(from) && r.start.Before(to) }) {
		most = max(most, r.took)
	}
	return most.Round(time.Millisecond)
}

// TestDeadHostFailsNoIdempotentCall: one of two instances is cut off with its host. An idempotent
// call that had been sent there is sent again in time. Any other one fails as possibly executed.
func TestDeadHostFailsNoIdempotentCall(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"broadcast", "database"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			extra := onTheLAN
			if mode == "database" {
				pg := pgtest.Shared(t)
				extra = fmt.Sprintf("mode: database\ndatabase: {url: %q}", pg.SocketURL(pg.CreateDB(t)))
			}
			s, l := newLANSite(t, 3, extra)
			s.provider("stays", how{host: 0})
			s.provider("dies", how{host: 1})
			s.consumer("again", how{host: 2, hold: 5, callers: 8,
				site: extra + "\n" + `consumers: {echo: {idempotent: ["*"]}}`})
			s.consumer("once", how{host: 2, hold: 5})
			s.warm("stays", "dies")
			begin := time.Now()
			time.Sleep(200 * time.Millisecond)
			l.Host(1).Cut()
			cut := time.Now()
			time.Sleep(5 * time.Second)
			for _, r := range s.journal.failures(begin, time.Now()) {
				switch {
				case r.caller == "again":
					t.Errorf("an idempotent call failed, %v after the cut: %s %s",
						r.start.Sub(cut).Round(time.Millisecond), r.code, r.text)
				case r.executed != "0" || r.code != "deadline_exceeded" && r.code != "connection_lost":
					t.Errorf("a call of another method failed as %s (executed %s): %s", r.code, r.executed, r.text)
				}
			}
			after := s.journal.calls(func(r record) bool { return r.caller == "again" && r.start.After(cut) })
			if len(after) < 500 {
				t.Errorf("only %d idempotent calls after the cut: the scene proves nothing", len(after))
			}
			t.Logf("%d idempotent calls after the cut, the longest took %v; %d others failed",
				len(after), longest(s.journal, "again", cut, time.Now()), len(s.journal.failures(begin, time.Now())))
		})
	}
}
