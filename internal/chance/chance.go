package chance

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

// Seed is SKERRY_SEED where it is set, else the usual seed of the test. It fails
// the test when SKERRY_SEED is no number.
func Seed(t testing.TB, usual uint64) uint64 {
	t.Helper()
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SKERRY_SEED=%q is no number", text)
		}
		usual = seed
	}
	t.Logf("SKERRY_SEED=%d", usual)
	return usual
}

// Rand draws by [Seed]. It may be used from several goroutines.
func Rand(t testing.TB, usual uint64) *rand.Rand {
	t.Helper()
	return rand.New(&source{of: rand.NewPCG(Seed(t, usual), 1)})
}

// source is a source with a lock.
type source struct {
	mu sync.Mutex
	of rand.Source
}

func (s *source) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of.Uint64()
}
