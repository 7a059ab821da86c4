// Package rollout decides which version of a service a request may meet.
//
// # Model
//
// The routing rules of a site are a numbered log. A trace is everything that
// one outside request causes, over all services. It reads one snapshot of the
// log, like a transaction in an MVCC database. An old version may stop when no
// live trace can still read a snapshot that needs it.
//
//   - A [Log] holds the rules up to a [Generation]. It is immutable and copied
//     on write.
//   - A [Token] names the snapshot that a trace reads, and the seed that decides
//     where traffic is split. The root of the trace mints it, and every call
//     carries it.
//   - [Log.Resolve] returns the version of a service for a token. It is a pure
//     function of service, token and the rules of the token's generation.
//   - [Log.Admit] answers the same question for the callee.
//   - A [Graph] holds which service may call which, as the processes report it.
//     Work that can't reach a service does not hold its old version back.
//   - A [Drain] collects the reports of all processes in rounds. It tells when
//     the old version may stop, and until then which processes hold it back.
//   - A [Release] is the state machine of one release over many services.
//
// # Guarantees
//
//   - G1: no trace is executed by two versions of one service.
//   - G2: over a release of several services a trace sees all old or all new.
//
// Both rest on four rules. The root fixes the token. The rules of a generation
// never change. The version is a pure function of token and rules. Caller and
// callee refuse a call that they can't decide. Clocks, leases and the order of
// messages have no influence. Draining affects availability only: stopping a
// version too early aborts a trace, and never mixes versions.
//
// The guarantees do not cover data that two versions share in a database,
// services declared best effort, calls without a token (they are counted), and
// detached work.
//
// # Concurrency
//
// The package does no I/O, starts no goroutine, reads no clock and has no locks.
// Package participant holds the state of a process, package operator the steps
// of an operator.
//
// # Tests
//
// The tests search the small model exhaustively, and play random sites, also
// with a log that has parted. They switch off each rule in turn, to show that
// the checker finds the violation.
package rollout
