package broadcast

import (
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
)

// seeded is the seed of a test in virtual time, see chance.Seed.
func seeded(t testing.TB, usual uint64) uint64 {
	t.Helper()
	return chance.Seed(t, usual)
}

// draws plays a scene by many seeds and returns its results in order. A random bound holds in a
// share of the draws: see bounded.
func draws(t *testing.T, usual uint64, times int, play func(seed uint64) time.Duration) []time.Duration {
	t.Helper()
	first := seeded(t, usual)
	out := make([]time.Duration, times)
	for i := range out {
		out[i] = play(first + uint64(i))
	}
	slices.Sort(out)
	return out
}

// bounded fails the test when more than one draw in ten lies above the bound,
// or any above the last one.
func bounded(t *testing.T, what string, all []time.Duration, most, last time.Duration) {
	t.Helper()
	over := len(all) - 1 - len(all)/10
	t.Logf(
		"%s: half of %d draws within %v, nine of ten within %v, all within %v",
		what,
		len(all),
		all[len(all)/2],
		all[over],
		all[len(all)-1],
	)
	if all[over] > most || all[len(all)-1] > last {
		t.Errorf(
			"%s: nine of ten draws within %v, all within %v; want %v and %v",
			what,
			all[over],
			all[len(all)-1],
			most,
			last,
		)
	}
}
