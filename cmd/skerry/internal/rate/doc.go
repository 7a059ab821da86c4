// Package rate computes rates from counters that only grow.
//
// # Model
//
// Every process of a site counts the calls of each version of a service since its start: calls served and calls made.
// A [Meter] reads these counters repeatedly. The growth between two readings, divided by the time between them, is the
// rate of the version.
//
// For each of some [Limits], a counter also holds the number of calls that took longer. The 99th percentile is reported
// as one of these limits: the smallest one that at most one call of a hundred exceeded.
//
// # Failure
//
// The first reading of a process only sets its baseline. A process that does not answer is left out, and gets a new
// baseline when it answers again. A counter that has shrunk adds nothing until it grows.
//
// # Tests
//
// The package reads no clock and does no I/O. Tests supply the counters.
package rate
