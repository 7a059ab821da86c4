package memtest

import "runtime"

// runs is how often a function is measured. Others only add to what it takes,
// so the least figure is the nearest one.
const runs = 3

// Allocated is how many bytes f allocates, the least of several runs.
func Allocated(f func()) int64 {
	least := int64(-1)
	for range runs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if took := int64(after.TotalAlloc - before.TotalAlloc); least < 0 || took < least {
			least = took
		}
	}
	return least
}

// Held is how many bytes of heap and stacks the process needs, without what it
// could give back.
func Held() int64 {
	runtime.GC()
	runtime.GC() // also what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
