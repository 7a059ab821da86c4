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
	asked   []int            // floors in force
	size    int              // of the ballast
	ballast *strings.Builder // unlike make, it clears no memory; nil = none
}

// Raise keeps the collector from starting on a heap below bytes, until lower is called. It returns
// the floor of this call. The floor is 0 when Raise does nothing, because the program has
// configured the collector itself or may use too little memory.
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

// change makes the ballast fit the requested floors.
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

// most is the memory, in bytes, that this process may use.
func most() int {
	if n := groupLimit(); n > 0 {
		return n
	}
	return math.MaxInt
}

// tuned reports whether the collector has been configured.
func tuned() bool {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return true
	}
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() != 100 || s[1].Value.Uint64() != math.MaxInt64
}
