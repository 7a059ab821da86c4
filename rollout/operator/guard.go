package operator

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
)

// Bounds are what a new version must keep. The zero value watches nothing.
type Bounds struct {
	Failures float64       // greatest share of failed calls, 0 to 1; 0: not watched
	P99      time.Duration // 99 of 100 calls take at most this; 0: not watched; whole milliseconds
	Calls    int64         // to call it healthy by; 0 means 50
	Off      bool          // of a service: it is not watched, whatever the others' bounds are
}

// Guard watches the new versions while a release ramps up.
type Guard struct {
	Bounds                     // of every service
	Services map[string]Bounds // of single ones; what a field leaves out is taken from Bounds
}

// Of are the bounds of a service.
func (g Guard) Of(service string) Bounds {
	own := g.Services[service]
	if own.Off {
		return own
	}
	return Bounds{Failures: cmp.Or(own.Failures, g.Failures), P99: cmp.Or(own.P99, g.P99), Calls: cmp.Or(own.Calls, g.Calls)}
}

// Watches reports whether there is any bound.
func (b Bounds) Watches() bool { return !b.Off && (b.Failures > 0 || b.P99 > 0) }

// slowShare is the part of the calls that may take longer than P99.
const slowShare = 0.01

// Least is how many calls it takes to call a version healthy: as many as are
// wished, and so many that a single bad one is within the bounds.
func (b Bounds) Least() int64 {
	least := cmp.Or(b.Calls, 50)
	if b.Failures > 0 {
		least = max(least, int64(math.Ceil(1/b.Failures)))
	}
	if b.P99 > 0 {
		least = max(least, int64(math.Ceil(1/slowShare)))
	}
	return least
}

// Watched is what the guard knows of one new version since the share that is
// on trial was committed. Callees and callers count the same calls, as far as
// both take part: either must keep the bounds, and they are never summed up.
// Callers see what no callee can: refused connections, time-outs, an instance
// that is missing.
type Watched struct {
	Service, Version string
	Bounds           Bounds
	Callees, Callers Tally
}

// Tally is what one side has counted.
type Tally struct {
	Count
	ByPlace map[string]Count // by the process that counted; calls made also name the instance
}

// Judged reports whether there were calls enough to call the version healthy.
func (w *Watched) Judged() bool {
	return max(w.Callees.Calls, w.Callers.Calls) >= w.Bounds.Least()
}

// breach says which bound is broken, by whose count, and where; "" while none
// is. Fewer calls than the least count as if the rest had gone well: what
// they would be judged by can't be kept any more then.
func (w *Watched) breach() string {
	for _, side := range []struct {
		who string
		*Tally
	}{{"its callers", &w.Callers}, {"the processes that serve it", &w.Callees}} {
		calls := float64(max(side.Calls, w.Bounds.Least()))
		if f := w.Bounds.Failures; f > 0 && float64(side.Failures) > f*calls {
			return fmt.Sprintf("%s/%s fails: %s counted %s in %d calls, the bound is %s%s", w.Service, w.Version, side.who,
				side.failures(), side.Calls, percent(f), side.worst(func(c Count) int64 { return c.Failures }))
		}
		if p := w.Bounds.P99; p > 0 && float64(side.Slow) > slowShare*calls {
			return fmt.Sprintf("%s/%s is slow: of %d calls %s counted, %d (%s) took longer than %v, the bound is 1 %%%s", w.Service, w.Version, side.Calls,
				side.who, side.Slow, shareOf(side.Slow, side.Calls), p, side.worst(func(c Count) int64 { return c.Slow }))
		}
	}
	return ""
}

// failures reads: 12 failures (5.7 %: connect 10, timeout 2).
func (t *Tally) failures() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(t.Kinds)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, t.Kinds[k]))
	}
	text := shareOf(t.Failures, t.Calls)
	if len(kinds) > 0 {
		text += ": " + strings.Join(kinds, ", ")
	}
	return fmt.Sprintf("%d failures (%s)", t.Failures, text)
}

// worst names the place that has most of what of tells.
func (t *Tally) worst(of func(Count) int64) string {
	place, most := "", int64(0)
	for _, p := range slices.Sorted(maps.Keys(t.ByPlace)) {
		if n := of(t.ByPlace[p]); n > most {
			place, most = p, n
		}
	}
	if place == "" {
		return ""
	}
	return fmt.Sprintf("; most at %s: %d of %d", place, most, t.ByPlace[place].Calls)
}

func shareOf(n, all int64) string {
	if all == 0 {
		return percent(0)
	}
	return percent(float64(n) / float64(all))
}

// percent is a share of 0 to 1 as people read it.
func percent(share float64) string { return number.Percent(share, 4) + " %" }
