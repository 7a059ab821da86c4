//go:build linux

package guarantees

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// The scenes of bad networks.

// narrowLine is the packet size of a tunnel in a tunnel. Hosts assume 1,500.
const narrowLine = 1400

const idempotent = "\nconsumers: {echo: {idempotent: [who]}}"

// TestNarrowPath: large packets to one of two providers begin to vanish, and neither host learns
// it. Calls go to the other one. When there is no other, they arrive in small packets. Both serve
// after the repair of the path.
func TestNarrowPath(t *testing.T) {
	t.Parallel()
	s, l := newLANSite(t, 3, onTheLAN)
	far := l.Host(1)
	far.Line(lab.Line{})
	near := s.provider("near", how{host: 0})
	s.provider("far", how{host: 1})
	patient := s.consumer("patient", how{host: 2, fill: 4000, site: onTheLAN + idempotent})
	s.consumer("careful", how{host: 2, fill: 4000})
	s.warm("near", "far")

	cut := time.Now()
	far.Line(lab.Line{Most: narrowLine})
	time.Sleep(20 * time.Second)
	known := cut.Add(4 * time.Second) // until the first silence has been detected
	early := s.journal.failures(cut.Add(-time.Second), known)
	for _, r := range early {
		if r.caller == "patient" {
			t.Errorf("an idempotent call failed: %s", r.text)
		}
	}
	if most := 4 * 3; len(early) > most { // its callers, times the seconds in which they may try
		t.Errorf("%d calls failed at first, want at most %d", len(early), most)
	}
	late, slow := s.journal.failures(known, time.Now()), 0
	for _, r := range late {
		t.Errorf("a call failed %v after the path had become narrow: %s", r.start.Sub(cut), r.text)
	}
	after := s.journal.calls(func(r record) bool { return r.start.After(known) })
	for _, r := range after {
		if !r.failed() && r.who == "far" {
			t.Fatalf("far was called %v after the path to it had become narrow", r.start.Sub(cut))
		}
		if r.took > 400*time.Millisecond { // half of a call's time, after which it leaves a silent instance
			slow++
		}
	}
	t.Logf("%d calls failed at first, %d of %d later; %d were slow", len(early), len(late), len(after), slow)
	if len(after) < 500 || slow > len(after)/100 {
		t.Errorf("%d of %d calls were slow", slow, len(after))
	}
	if !patient.said("large packets to an instance vanish") {
		t.Error("the log does not say what is wrong")
	}

	near.stop()
	near.wait(40 * time.Second)
	alone := time.Now()
	time.Sleep(5 * time.Second)
	noFailures(t, s.journal, alone, time.Now())
	far.Line(lab.Line{})
	s.provider("third", how{host: 0})
	s.warm("third")
	healed := time.Now()
	eventually(t, setUp, "far is called again beside another one", func() bool {
		return s.journal.lastAnswer("far").After(healed)
	})
}

// TestLongListOverANarrowPath: a list that does not fit in a packet of the LAN is fetched over TCP,
// also where full packets vanish.
func TestLongListOverANarrowPath(t *testing.T) {
	t.Parallel()
	s, l := newLANSite(t, 2, onTheLAN)
	l.Host(1).Line(lab.Line{Most: 1280}) // the least of IPv6; a packet of the LAN has 1,228 with its heads
	s.consumer("watcher", how{host: 0, callers: watcher})
	const more = 60
	s.provider("far", how{host: 1, more: more})
	names := []string{"far"}
	for i := range more {
		names = append(names, fmt.Sprint("more", i))
	}
	defer func() {
		if all := s.journal.listings("watcher"); t.Failed() && len(all) > 0 {
			last := all[len(all)-1]
			t.Logf("%d lists, the last of %v has %d: %v", len(all), last.at, len(last.names), last.names)
		}
	}()
	whole := eventually(t, setUp, "the list is whole", func() bool { return s.journal.shows("watcher", names...) })
	took := whole.Sub(s.journal.at("far", "serve"))
	t.Logf("whole after %v", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("the list was whole after %v, want at most 10 s", took)
	}
}

// TestBadLine: calls over a line that loses and delays packets both ways, with the default timeout,
// and with a longer one for idempotent methods. The bounds are shares of some hundred calls.
func TestBadLine(t *testing.T) {
	t.Parallel()
	s, l := newLANSite(t, 3, onTheLAN)
	far := l.Host(2)
	far.Line(lab.Line{})
	s.provider("one", how{host: 0})
	s.provider("two", how{host: 1})
	s.consumer("hasty", how{host: 2, pause: 20 * time.Millisecond})
	const patience = "\nconsumers: {echo: {timeout: 5s, idempotent: [who]}}"
	s.consumer("patient", how{host: 2, pause: 20 * time.Millisecond, site: onTheLAN + patience})
	s.warm("one", "two")
	for _, c := range []struct {
		line           lab.Line
		hasty, patient float64 // share of failed calls
	}{
		{lab.Line{Loss: 10, Jitter: 100 * time.Millisecond}, 0.1, 0.02},
		{lab.Line{Loss: 20, Jitter: 200 * time.Millisecond}, 1, 0.05},
	} {
		far.Line(c.line)
		time.Sleep(time.Second)
		begin := time.Now()
		time.Sleep(20 * time.Second)
		end := time.Now()
		time.Sleep(6 * time.Second) // until the last of them has ended
		for caller, most := range map[string]float64{"hasty": c.hasty, "patient": c.patient} {
			during := func(r record) bool { return r.caller == caller && r.start.After(begin) && r.start.Before(end) }
			all := len(s.journal.calls(during))
			failed := s.journal.calls(func(r record) bool { return during(r) && r.failed() })
			t.Logf("%v %% lost, up to %v each way, %s: %d of %d calls failed", c.line.Loss, c.line.Jitter, caller,
				len(failed), all)
			if all < 50 || float64(len(failed)) > most*float64(all) {
				t.Errorf("want at most %v of them, of 50 at least; %v", most, failed[:min(len(failed), 3)])
			}
		}
	}
}

// TestOneWayPath: one of two providers receives nothing of the callers' host, which receives its
// packets. Calls go to the other one.
func TestOneWayPath(t *testing.T) {
	t.Parallel()
	s, l := newLANSite(t, 3, onTheLAN)
	s.provider("near", how{host: 0})
	s.provider("deaf", how{host: 1})
	s.consumer("caller", how{host: 2, site: onTheLAN + idempotent})
	s.warm("near", "deaf")
	cut := time.Now()
	l.Host(1).Deaf(2)
	time.Sleep(10 * time.Second)
	noFailures(t, s.journal, cut, time.Now())
	known := cut.Add(4 * time.Second)
	slow := s.journal.calls(func(r record) bool { return r.start.After(known) && r.took > 400*time.Millisecond })
	if len(slow) > 5 {
		t.Errorf("%d calls were slow when it was known", len(slow))
	}
	l.Host(1).Deaf()
	healed := time.Now()
	eventually(t, setUp, "it is called again", func() bool { return s.journal.lastAnswer("deaf").After(healed) })
}
