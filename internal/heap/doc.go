// Package heap keeps a small heap from being collected all the time.
//
// The Go collector starts when the heap has doubled since the last time, but
// at 4 MiB at the earliest. A process that lives on little memory and makes
// garbage with every call reaches that a hundred times a second, and spends a
// third of its time on collecting next to nothing. [Raise] gives the heap a
// floor below which no collection is worth while.
//
// # How
//
// The floor is a ballast: memory of half its size that is allocated and never
// touched, so that the system gives no pages for it. The collector counts it as
// heap in use, and starts when that has doubled: at floor + 2 × what is really
// in use. Nothing has to be tuned while the process runs. A percentage that is
// set anew after each collection would have to be large while the heap is
// small, and lets a heap that grows all at once grow by that factor before the
// next setting; a ballast costs what it costs.
//
// # What is seen of it
//
// The process's resident memory grows by the garbage that gathers, up to half
// of the floor. Go's own figures of the heap (runtime.MemStats, /memory/classes
// of runtime/metrics) count the ballast as in use, and a heap profile shows it
// under this package's name. Windows counts it as committed.
//
// # Whose word counts
//
// Who has set the collector himself is not contradicted: with GOGC or
// GOMEMLIMIT in the environment, or after debug.SetGCPercent or
// debug.SetMemoryLimit, Raise does nothing. On Linux a floor is at most a
// quarter of the control group's memory limit.
//
// # Concurrency
//
// The largest floor that is asked for counts. All functions are safe for
// concurrent use; no goroutine runs.
package heap
