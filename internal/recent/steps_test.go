package recent

import (
	"testing"
	"time"
)

func TestStepsTellQuantiles(t *testing.T) {
	var h Steps
	if h.Quantile(0.99) != 0 {
		t.Error("no calls have a latency")
	}
	h.Add(3*time.Millisecond, 990)
	h.Add(2*time.Second, 10)
	if q := h.Quantile(0.5); q < 2200*time.Microsecond || q > 3300*time.Microsecond {
		t.Errorf("p50 is %v", q)
	}
	if q := h.Quantile(0.999); q < 1600*time.Millisecond || q > 2400*time.Millisecond {
		t.Errorf("p99.9 is %v", q)
	}
	h.Add(time.Hour, 1)
	if h.Calls() != 1001 {
		t.Error("a call that took an hour is lost")
	}
}

// TestStepsHaveBounds: each latency is below the bound of its step and not below the one before.
func TestStepsHaveBounds(t *testing.T) {
	for d := time.Duration(1); d < 200*time.Second; d = d*11/10 + 1 {
		var s Steps
		s.Add(d, 1)
		for i, n := range s {
			if n > 0 && (d > StepBound(i) || i > 0 && d < StepBound(i-1)-1) {
				t.Errorf("%v is in the step up to %v", d, StepBound(i))
			}
		}
	}
	var l Latencies
	decade, step := place(120 * time.Millisecond)
	l[decade*steps+step] = 9
	if s := l.Steps(); s.Calls() != 9 || s.Quantile(0.5) < 100*time.Millisecond ||
		s.Quantile(0.5) > 150*time.Millisecond {
		t.Errorf("%v", s)
	}
}
