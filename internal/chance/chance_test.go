package chance

import (
	"sync"
	"testing"
)

// draws are the first numbers by a seed.
func draws(t *testing.T, usual uint64) (out [8]uint64) {
	r := Rand(t, usual)
	for i := range out {
		out[i] = r.Uint64()
	}
	return out
}

func TestSeedDecides(t *testing.T) {
	t.Setenv("SKERRY_SEED", "")
	seven, eight := draws(t, 7), draws(t, 8)
	if seven != draws(t, 7) || seven == eight {
		t.Error("the usual seed does not decide")
	}
	t.Setenv("SKERRY_SEED", "8")
	if Seed(t, 7) != 8 || draws(t, 7) != eight {
		t.Error("SKERRY_SEED does not decide")
	}
}

// Several goroutines draw at once, without a race and each number once.
func TestRandOfSeveralGoroutines(t *testing.T) {
	r := Rand(t, 1)
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 1000 {
				n := r.Uint64()
				mu.Lock()
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	g.Wait()
	if len(seen) != 4000 {
		t.Errorf("%d different numbers of 4000", len(seen))
	}
}
