// Package spans keeps spans of the latest calls in one process, so that a request can be followed through a site
// without a collector.
//
// # Model
//
// A [Span] is one attempt of a call as one side saw it. A [Recorder] keeps those that failed or were retried, those
// that were slow, and, of the others, those of one of 64 traces. Which traces these are follows from the trace id
// alone, so that all processes keep the same ones.
//
// # Cost and bounds
//
// Spans are stored in rings of slots of 256 bytes without pointers: 1,024 slots each for failures, slow calls and the
// calls of one of 64 traces, 512 each for the calls of one of 4,096 traces and for refused calls. Together they have
// 1 MiB at most, taken in blocks of 16 KiB when they are needed. The oldest span of a ring makes room. A flood of one
// kind displaces its own kind only.
//
// A call that is not kept costs some comparisons: see [Recorder.Slow] and [Sampled]. It takes no lock and allocates
// nothing. A call that is kept takes the lock of its ring for a copy, and allocates nothing besides a new block.
//
// Slow is what takes longer than a limit. It begins at 100 ms, doubles when more than 8 calls exceed it within 10 s,
// and is halved, down to 10 ms, when fewer than two did. So the ring reaches back for at least 20 minutes, unless a
// process has calls that differ more.
//
// # Concurrency
//
// Everything is safe for concurrent use. A reader holds the lock of one ring at a time, for some tens of microseconds.
//
// # Clock
//
// Times are those of the monotonic clock since the recorder was made. An answer to another process tells ages, so that
// different clocks of hosts change nothing.
//
// # Privacy
//
// A span has names, codes, times and places of the policy. It has no arguments, replies, baggage or texts of errors.
package spans
