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

// Bounds are the limits that a new version must keep. The zero value watches
// nothing.
type Bounds struct {
	Failures float64       // largest share of failed calls, 0 to 1; 0: not watched
	P99      time.Duration // 99 of 100 calls take at most this; whole milliseconds; 0: not watched
	Calls    int64         // the fewest calls to judge by; 0 means 50
	Off      bool          // for a service: do not watch it, whatever the general bounds are
}

// Guard holds the bounds of the new versions while a release ramps up.
type Guard struct {
	Bounds                     // for every service
	Services map[string]Bounds // for single services; zero fields are taken from Bounds
}

// Of returns the bounds of a service.
func (g Guard) Of(service string) Bounds {
	own := g.Services[service]
	if own.Off {
		return own
	}
	return Bounds{
		Failures: cmp.Or(own.Failures, g.Failures), P99: cmp.Or(own.P99, g.P99), Calls: cmp.Or(own.Calls, g.Calls),
	}
}

// Watches reports whether any bound is set.
func (b Bounds) Watches() bool { return !b.Off && (b.Failures > 0 || b.P99 > 0) }

// slowShare is the share of calls that may take longer than P99.
const slowShare = 0.01

// Least returns the fewest calls by which a version can be judged healthy: at
// least b.Calls, and so many that one bad call does not break a bound.
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

// Watched holds the guard's counts for one new version since its present share
// was committed. Callees and callers may count the same calls, so they are never
// added up: each side must keep the bounds. Only callers see refused
// connections, time-outs and missing instances.
type Watched struct {
	Service, Version string
	Bounds           Bounds
	Callees, Callers Tally
}

// Tally holds the counts of one side.
type Tally struct {
	Count
	ByPlace map[string]Count // by the process that counts; on the callers' side, also by the instance called
}

// Judged reports whether there were enough calls to judge the version.
func (w *Watched) Judged() bool {
	return max(w.Callees.Calls, w.Callers.Calls) >= w.Bounds.Least()
}

// Breach describes the bound that is broken, the side that counts and its worst
// place; "" while no bound is broken. With fewer calls than Least, the missing
// ones count as good, so more calls could not undo a breach.
func (w *Watched) Breach() string {
	for _, side := range []struct {
		name string
		*Tally
	}{{"its callers", &w.Callers}, {"the processes that serve it", &w.Callees}} {
		calls := float64(max(side.Calls, w.Bounds.Least()))
		if f := w.Bounds.Failures; f > 0 && float64(side.Failures) > f*calls {
			worst := side.worst(func(c Count) int64 { return c.Failures })
			return fmt.Sprintf("%s/%s fails: %s counted %s in %d calls, the bound is %s%s",
				w.Service, w.Version, side.name, side.failures(), side.Calls, percent(f), worst)
		}
		if p := w.Bounds.P99; p > 0 && float64(side.Slow) > slowShare*calls {
			worst := side.worst(func(c Count) int64 { return c.Slow })
			return fmt.Sprintf("%s/%s is slow: of %d calls %s counted, %d (%s) took longer than %v, the bound "+
				"is 1 %%%s", w.Service, w.Version, side.Calls, side.name, side.Slow,
				shareOf(side.Slow, side.Calls), p, worst)
		}
	}
	return ""
}

// failures returns a text such as "12 failures (5.7 %: connect 10, timeout 2)".
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

// worst returns a text with the place that has the highest count by of.
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

// percent formats a share of 0 to 1 for display.
func percent(share float64) string { return number.Percent(share, 4) + " %" }
