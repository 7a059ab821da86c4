package heap

import (
	"math"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
)

// Least is the smallest floor that has any effect: the collector's own.
const Least = 4 << 20

var floors struct {
	mu      sync.Mutex
	asked   []int            // floors that hold
	size    int              // of the ballast
	ballast *strings.Builder // which, unlike make, clears no memory; nil = none
}

// Raise keeps the collector from starting below a heap of so many bytes, until
// lower is called. It reports the floor that this call stands for, 0 when it
// does nothing: because the program has set the collector itself, or the
// memory it may use is too small.
func Raise(bytes int) (floor int, lower func()) {
	if floor = min(bytes, most()/4); floor < Least || tuned() {
		return 0, func() {}
	}
	change(func(asked []int) []int { return append(asked, floor) })
	return floor, sync.OnceFunc(func() {
		change(func(asked []int) []int {
			i := slices.Index(asked, floor)
			return slices.Delete(asked, i, i+1)
		})
	})
}

// change sees to it that the ballast fits what is asked for.
func change(f func([]int) []int) {
	floors.mu.Lock()
	defer floors.mu.Unlock()
	floors.asked = f(floors.asked)
	size := 0
	if len(floors.asked) > 0 {
		size = slices.Max(floors.asked) / 2
	}
	if size == floors.size {
		return
	}
	if floors.size, floors.ballast = size, nil; size > 0 {
		floors.ballast = new(strings.Builder)
		floors.ballast.Grow(size)
	}
}

// most is how much memory this process may use.
func most() int {
	if n := groupLimit(); n > 0 {
		return n
	}
	return math.MaxInt
}

// tuned reports whether somebody has set the collector.
func tuned() bool {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return true
	}
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() != 100 || s[1].Value.Uint64() != math.MaxInt64
}
