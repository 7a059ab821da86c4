// Package rate makes rates out of counters that only grow.
//
// # Model
//
// Every process of a site counts the calls of each version of a service since
// it began: those that it served, and those that it made. A [Meter] is told
// these counters again and again. What they have grown by between two times,
// over the time, is the rate of a service.
//
// The counters say how many calls took longer than each of some [Limits]. So
// the 99th percentile is known as one of them: the smallest that at most one
// call of a hundred exceeded.
//
// # Failure
//
// A process that is met later counts from then on. A process that does not
// answer is left out, and is met anew when it answers again. A counter that
// has shrunk says nothing until it grows.
//
// # Tests
//
// The package reads no clock and does no I/O: tests give it the counters.
package rate
