//go:build linux

// Command soak runs a site for a long time under faults of all kinds, drawn
// from a seed, while releases follow each other and callers of every mode make
// requests, and says what it found:
//
//	go run ./test/soak -seed 7 -for 30m
//
// # The site
//
// Four hosts with providers (portal, auth and proc on each), two with callers,
// one with PostgreSQL and the operator, all of them network namespaces
// (internal/lab; needs root). A request goes to portal, which calls auth and
// proc, which calls auth. Every method is declared idempotent, so that a call
// is repeated where that is safe.
//
// # The faults
//
// One provider host, or process, has a fault at a time: killed and started
// again, asked to leave and started again, frozen, its cable pulled, its
// packets lost or late, its broadcasts blocked, the disk with its state full or
// hanging. Beside that the database is stopped,
// killed, frozen, or loses its connections. The schedule depends on the seed
// alone; -list prints it.
//
// # What must hold
//
//   - No request meets two versions of a service, nor auth and proc of
//     different releases.
//   - No request fails: another instance is always well. One that is under way while the whole machine stands still
//     for seconds does not count; the run says so.
//   - No process ends that was not ended, and none writes a data race or a panic.
//   - Goroutines, memory and descriptors of the processes are level: what they
//     use in the last quarter is at most a half more than in the second one.
//
// It exits with 1 when one of these does not hold, and names what it found,
// with the faults of those seconds.
package main
