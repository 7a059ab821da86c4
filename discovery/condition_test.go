package discovery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func TestSharply(t *testing.T) {
	for _, c := range []struct {
		vanished, before int
		want             bool
	}{{0, 0, false}, {0, 5, false}, {1, 1, true}, {1, 2, false}, {2, 2, true}, {1, 3, false}, {2, 3, true},
		{3, 3, true}, {2, 4, false}, {3, 4, true}, {50, 100, false}, {51, 100, true}} {
		if got := sharply(c.vanished, c.before); got != c.want {
			t.Errorf("%d of %d vanished: %v, want %v", c.vanished, c.before, got, c.want)
		}
	}
}

func TestCondition(t *testing.T) {
	t0 := time.Unix(1000, 0)
	var c condition
	expect := func(at time.Duration, want State) {
		t.Helper()
		if got, _, _ := c.state(t0.Add(at)); got != want {
			t.Fatalf("after %v: %s, want %s (%s)", at, got, want, c.why)
		}
	}
	expect(0, OK)
	if !c.dialFailed(t0, dialLimit, 10*time.Second, "refused") ||
		c.dialFailed(t0, dialLimit, 10*time.Second, "refused") {
		t.Fatal("the first failed dial is news, the second is not")
	}
	expect(0, Suspect)
	if !c.dialFailed(t0, dialLimit, 10*time.Second, "refused") {
		t.Fatal("the third failed dial is news")
	}
	expect(9*time.Second, Ejected)
	expect(10*time.Second, Suspect)
	if !c.dialFailed(t0.Add(10*time.Second), dialLimit, 10*time.Second, "refused") {
		t.Fatal("the failed dial after an ejection is news")
	}
	expect(19*time.Second, Ejected)
	c.answered()
	expect(19*time.Second, OK)
	c.dialFailed(t0, dialLimit, 10*time.Second, "refused")
	expect(0, Suspect) // the count starts at zero again
	if !c.leave(t0) || c.leave(t0) {
		t.Fatal("a goodbye is news once")
	}
	c.answered()
	expect(0, Leaving)
}

func TestWarmth(t *testing.T) {
	t0 := time.Unix(1000, 0)
	for _, c := range []struct {
		age   time.Duration
		share float64
		next  time.Duration // from t0; 0 = none
	}{{-time.Second, 0.2, time.Second}, {0, 0.2, time.Second}, {4999 * time.Millisecond, 0.52, 5 * time.Second},
		{5 * time.Second, 0.6, 6 * time.Second}, {10 * time.Second, 1, 0}, {time.Hour, 1, 0}} {
		share, next := warmth(t0, t0.Add(c.age), 10*time.Second)
		if fmt.Sprintf("%.2f", share) != fmt.Sprintf("%.2f", c.share) || c.next != 0 && !next.Equal(t0.Add(c.next)) ||
			c.next == 0 && !next.IsZero() {
			t.Errorf("age %v: %.2f until %v, want %.2f until %v", c.age, share, next.Sub(t0), c.share, c.next)
		}
	}
	if share, _ := warmth(time.Time{}, t0, 10*time.Second); share != 1 {
		t.Error("an unknown start warms up")
	}
}

func TestDiff(t *testing.T) {
	list := func(ns ...int) (out []registry.Instance) {
		for _, n := range ns {
			out = append(out, instance(n))
		}
		slices.SortFunc(out, registry.Compare)
		return out
	}
	for _, c := range []struct{ before, after []int }{
		{nil, nil}, {nil, []int{1, 2}}, {[]int{1, 2}, nil}, {[]int{1, 2, 3}, []int{2}}, {[]int{2}, []int{1, 2, 3}},
		{[]int{1, 3, 5}, []int{2, 4, 6}}, {[]int{1, 2, 11, 100}, []int{2, 9, 11, 101}},
	} {
		var gone, kept, came []int
		diff(list(c.before...), list(c.after...), func(b, a *registry.Instance) {
			switch {
			case b == nil:
				came = append(came, a.Owner.PID-1)
			case a == nil:
				gone = append(gone, b.Owner.PID-1)
			default:
				kept = append(kept, a.Owner.PID-1)
			}
		})
		if len(kept)+len(gone) != len(c.before) || len(kept)+len(came) != len(c.after) {
			t.Errorf("%v to %v: gone %v, kept %v, came %v", c.before, c.after, gone, kept, came)
		}
		for _, n := range kept {
			if !slices.Contains(c.before, n) || !slices.Contains(c.after, n) {
				t.Errorf("%v to %v: kept %v", c.before, c.after, kept)
			}
		}
	}
}
