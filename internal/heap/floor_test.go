package heap

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// goal is the heap size at which the collector starts next.
func goal() int {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func TestFloor(t *testing.T) {
	const want = 64 << 20
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := goal()
	floor, lower := Raise(want)
	if g := goal(); floor != want || g < floor || g > floor+2*before {
		t.Errorf("the collector starts at %d with a floor of %d, at %d without", g, floor, before)
	}
	lower()
	lower()
	if g := goal(); g >= want/2 {
		t.Errorf("the collector starts at %d, though the floor was lowered; at %d before it was raised", g, before)
	}
}

func TestLargestFloorCounts(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	holds := func(want int) {
		t.Helper()
		if floors.size != want/2 || (floors.ballast != nil) != (want > 0) {
			t.Errorf("ballast of %d bytes, want %d", floors.size, want/2)
		}
	}
	_, small := Raise(8 << 20)
	_, large := Raise(32 << 20)
	_, other := Raise(8 << 20)
	holds(32 << 20)
	large()
	holds(8 << 20)
	small()
	small() // a second call has no effect
	holds(8 << 20)
	other()
	holds(0)
}

func TestWhoSetsTheCollectorIsNotContradicted(t *testing.T) {
	for name, set := range map[string]func(*testing.T){
		"GOGC":         func(t *testing.T) { t.Setenv("GOGC", "100") },
		"GOMEMLIMIT":   func(t *testing.T) { t.Setenv("GOMEMLIMIT", "1GiB") },
		"SetGCPercent": func(t *testing.T) { debug.SetGCPercent(50); t.Cleanup(func() { debug.SetGCPercent(100) }) },
		"SetMemoryLimit": func(t *testing.T) {
			debug.SetMemoryLimit(1 << 40)
			t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
		},
		"too small": func(*testing.T) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			set(t)
			size := 64 << 20
			if name == "too small" {
				size = Least - 1
			}
			floor, lower := Raise(size)
			defer lower()
			if floor != 0 || floors.ballast != nil {
				t.Errorf("floor is %d, want none", floor)
			}
		})
	}
}
