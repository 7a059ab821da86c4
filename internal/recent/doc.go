// Package recent remembers the calls of the last five minutes in one process, so that a policy can be tried on them
// and a console can show them.
//
// # Model
//
// A [Recorder] holds a [Kind] for each [Key]: the calls of one caller to one method, seen by the callee or by the
// caller. Of each kind it keeps
//
//   - counts for each second and outcome, with the time that the calls took together;
//   - a histogram of latencies for each 30 s. Its bounds are two decimal digits, such as 250 ms, so that for a time-out
//     of two digits the number of slower calls is exact. Calls that were served have one while there are less than 500
//     kinds;
//   - a sample of single calls with the facts that differ within a kind: baggage, mark, seed of the trace.
//
// Each slice of 10 s samples by itself, every call with the same chance. When a slice is full, each of its samples
// stays with a chance of one half, and so does every later call. So the chance is known, and each sample stands for as
// many calls.
//
// # Cost and bounds
//
// The call path looks a kind up once, keeps the pointer, and records by one atomic addition and one random number. It
// takes a lock for a sampled call only, and allocates for a kind's first call of an outcome or latency range only.
// There are at most 1,000 kinds in 16 MiB. Calls beyond them are counted together, under the method "*" of their
// service, or of no service. Kinds without a call for 5 minutes make room.
//
// # Concurrency
//
// Everything is safe for concurrent use. A reader may see a call in one count and not yet in another.
//
// # Clock
//
// Seconds are those of the monotonic clock since the recorder was made, so jumps of the host's clock change nothing. A
// call belongs to the second in which it began.
package recent
