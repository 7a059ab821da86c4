package callpath

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.values, got, tt.want)
		}
	}
	given := []float64{2, 1}
	if median(given); given[0] != 2 {
		t.Error("median has sorted what it was given")
	}
}

// The ratio is taken within each round: a slow round of both changes nothing.
func TestRatio(t *testing.T) {
	a := []sample{{QPS: 10}, {QPS: 1}, {QPS: 40}}
	b := []sample{{QPS: 5}, {QPS: 0.5}, {QPS: 10}}
	if r, ok := ratio(a, b, qps); !ok || r != 2 {
		t.Errorf("ratio %v, %v, want 2", r, ok)
	}
	for name, other := range map[string][]sample{"nothing": nil, "fewer rounds": b[:2]} {
		if _, ok := ratio(a, other, qps); ok {
			t.Errorf("a ratio with %s", name)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h, other histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	other.add(time.Hour) // beyond its end
	for q, want := range map[float64]time.Duration{0: time.Microsecond, 0.5: 500 * time.Microsecond,
		0.99: 990 * time.Microsecond} {
		if got := h.quantile(q); math.Abs(float64(got)/float64(want)-1) > 0.04 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h.merge(&other)
	if n := h.count(); n != 1001 {
		t.Errorf("%d values", n)
	}
	var empty histogram
	if got := empty.quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
