package lan

import (
	"fmt"
	"testing"
	"time"
)

// at is a time of the site's clock, in milliseconds.
func at(ms int) time.Time { return time.Unix(0, int64(ms)*1e6) }

// told is a journal of three hosts that have told so much: from, text.
func told(lines ...string) *journal {
	j := newJournal(3)
	for _, l := range lines {
		var from int
		fmt.Sscan(l[:1], &from)
		j.line(from, l[2:])
	}
	return j
}

// line writes as a node's teller does.
func line(from int, format string, args ...any) string {
	return fmt.Sprint(from) + " " + fmt.Sprintf(format, args...)
}

func (j *journal) sees(from, host int, is bool, ms int) {
	sign := "-"
	if is {
		sign = "+"
	}
	j.line(from, fmt.Sprintf("%s %d %d", sign, at(ms).UnixNano(), host))
}

// all is a journal of three hosts that know each other, the last since 90 ms.
func all() *journal {
	j := newJournal(3)
	for from := range 3 {
		for host := range 3 {
			j.sees(from, host, true, 10*(3*from+host)+10)
		}
	}
	return j
}

func TestComplete(t *testing.T) {
	j := told(line(0, "ready"), line(2, "ready"), "1 ", "1 nonsense", "1 + x y")
	if _, ok := j.complete(); ok || j.allReady(3) || !j.allReady(2) {
		t.Errorf("%v ready, complete %t", j.ready, ok)
	}
	j = all()
	if when, ok := j.complete(); !ok || !when.Equal(at(90)) {
		t.Errorf("complete %t at %v, want 90 ms", ok, when)
	}
	j.sees(1, 2, false, 100)
	if _, ok := j.complete(); ok || j.lacking() != " host 1 lacks 1;" {
		t.Errorf("complete %t, %q", ok, j.lacking())
	}
	j.forget(0)
	if j.lacking() != " host 0 lacks 3; host 1 lacks 1;" {
		t.Errorf("after a new process: %q", j.lacking())
	}
}

// TestOff: a host is off the last list when all but itself, and what is
// dead, has struck it.
func TestOff(t *testing.T) {
	j := all()
	j.sees(0, 1, false, 200)
	if _, ok := j.off(1); ok {
		t.Error("host 2 still lists it")
	}
	j.sees(2, 1, false, 350)
	if when, ok := j.off(1); !ok || !when.Equal(at(350)) {
		t.Errorf("off %t at %v, want 350 ms", ok, when)
	}
	j.sees(2, 1, true, 400) // back
	if _, ok := j.off(1); ok {
		t.Error("host 2 lists it again")
	}
	j.bury(2)
	if when, ok := j.off(1); !ok || !when.Equal(at(200)) || !j.isBuried(2) || j.isBuried(0) {
		t.Errorf("without the dead: off %t at %v", ok, when)
	}
}

func TestLastCall(t *testing.T) {
	call := func(from, ms, host int, outcome string) string {
		return line(from, "call %d %d %s", at(ms).UnixNano(), host, outcome)
	}
	j := told(
		call(0, 50, 1, "ok"),                   // before
		call(0, 120, 1, "connection_lost"),     // counts
		call(2, 150, 1, "ok"),                  // counts, the last
		call(1, 500, 1, "ok"),                  // its own
		call(2, 300, 0, "ok"),                  // to another
		call(0, 400, -1, "no instance at all"), // chosen none
	)
	last, n := j.lastCall(1, at(100))
	if n != 2 || !last.Equal(at(150)) {
		t.Errorf("%d calls, the last at %v; want 2, at 150 ms", n, last)
	}
	if !j.calls[0].ok || j.calls[1].ok || j.calls[5].ok || j.calls[5].host != -1 {
		t.Errorf("outcomes: %+v", j.calls)
	}
	j.drop()
	if last, n := j.lastCall(1, at(0)); n != 0 || !last.IsZero() {
		t.Errorf("after drop %d calls", n)
	}
}
