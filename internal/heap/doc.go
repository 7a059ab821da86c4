// Package heap keeps the collector from running all the time on a small heap.
//
// # Model
//
// The Go collector starts when the heap has doubled since the last time, but at 4 MiB at the earliest. A process
// with a small heap that makes garbage with every call reaches that a hundred times a second, and spends a third
// of its time on collecting next to nothing. [Raise] gives the heap a floor below which the collector does not
// start.
//
// The floor is a ballast: memory of half its size that is allocated and never touched, so that the system gives
// no pages for it. The collector counts it as heap in use, and starts when that has doubled: at floor + 2 × the
// memory really in use. Nothing has to be tuned while the process runs. The alternative is a percentage that is
// set anew after each collection. It would have to be large while the heap is small, and a heap that grows all at
// once would grow by that factor before the next setting. The cost of a ballast is fixed.
//
// # Guarantees
//
// The process's resident memory grows by the garbage that gathers, up to half of the floor. Go's own figures of
// the heap (runtime.MemStats, /memory/classes of runtime/metrics) count the ballast as in use, and a heap profile
// shows it under this package's name. Windows counts it as committed.
//
// Raise does nothing if the program has configured the collector itself: with GOGC or GOMEMLIMIT in the
// environment, or after debug.SetGCPercent or debug.SetMemoryLimit. On Linux a floor is at most a quarter of the
// control group's memory limit.
//
// # Concurrency
//
// The largest requested floor counts. All functions are safe for concurrent use; no goroutine runs.
package heap
