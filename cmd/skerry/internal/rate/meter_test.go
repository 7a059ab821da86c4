package rate

import (
	"testing"
	"time"
)

// counter returns a Counter of which slow calls took longer than 10 ms.
func counter(made bool, peer string, calls, failures, slow int64) Counter {
	c := Counter{Service: "auth", Version: "v1", Made: made, Peer: peer, Calls: calls, Failures: failures}
	for _, limit := range Limits {
		n := int64(0)
		if limit <= 10*time.Millisecond {
			n = slow
		}
		c.Slower = append(c.Slower, n)
	}
	return c
}

func TestRatesAreGrowth(t *testing.T) {
	var m Meter
	begun := time.Unix(1000, 0)
	read := func(after time.Duration, processes map[string][]Counter) []Rate {
		return m.Read(begun.Add(after), processes)
	}
	if got := read(0, map[string][]Counter{"a": {counter(false, "", 1000, 10, 5)}}); len(got) != 0 {
		t.Errorf("what was counted before: %+v", got)
	}
	// a has served 200 more, of which 4 failed and 1 was slow. b is new.
	got := read(2*time.Second, map[string][]Counter{
		"a": {counter(false, "", 1200, 14, 6)},
		"b": {counter(false, "", 5000, 0, 0)},
	})
	want := Rate{Service: "auth", Version: "v1", Calls: 100, Failed: 2, P99: time.Millisecond}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// The callers of a have counted more calls than the providers; 3 of 100 were slow.
	got = read(3*time.Second, map[string][]Counter{
		"a": {counter(false, "", 1210, 14, 6)},
		"b": {counter(false, "", 5000, 0, 0), counter(true, "10.0.0.1:7000", 100, 50, 3)},
	})
	want = Rate{Service: "auth", Version: "v1", Calls: 100, Failed: 50, P99: 20 * time.Millisecond}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// a was silent and answers with other counters, so it gets a new baseline.
	read(4*time.Second, map[string][]Counter{"b": {counter(false, "", 5000, 0, 0)}})
	got = read(5*time.Second, map[string][]Counter{
		"a": {counter(false, "", 9000, 0, 0)}, "b": {counter(false, "", 4000, 0, 0)},
	})
	if len(got) != 1 || got[0].Calls != 0 {
		t.Errorf("after a silence, and a counter that shrank: %+v", got)
	}
}

func TestASlowTailIsBeyond(t *testing.T) {
	var m Meter
	slow := make([]int64, len(Limits))
	for i := range slow {
		slow[i] = 2
	}
	m.Read(time.Unix(1, 0), map[string][]Counter{"a": nil})
	got := m.Read(time.Unix(2, 0), map[string][]Counter{"a": {{Service: "auth", Calls: 100, Slower: slow}}})
	if len(got) != 1 || !got[0].Beyond || got[0].P99 != 0 {
		t.Errorf("%+v", got)
	}
}
