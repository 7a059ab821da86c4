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
//     where traffic is split. The root of the trace, its first span, makes the
//     token, and every call carries it.
//   - [Log.Resolve] returns the version of a service for a token. It is a pure
//     function of service, token and the rules of the token's generation.
//   - [Log.Admit] decides for the callee whether its version may execute a call.
//   - A [Graph] holds which service may call which, as the processes report it.
//     Work that can't reach a service does not hold its old version back.
//   - A [Drain] collects the reports of all processes in rounds. It decides when
//     the old version may stop, and names the processes that still need it.
//   - A [Release] is the state machine of one release over many services.
//
// # Guarantees
//
//   - G1: no trace is executed by two versions of one service.
//   - G2: of the services of one release, a trace meets all in their old versions
//     or all in their new ones.
//
// Both rest on four rules. The root fixes the token. The rules of a generation
// never change. The version is a pure function of token and rules. A caller or
// callee that lacks the rules refuses the call. Clocks, leases and the order of
// messages have no influence. Drains matter for availability only: if a version
// stops too early, traces fail, but never meet two versions.
//
// The guarantees do not cover data that two versions share in a database,
// services declared best effort, calls without a token (they are counted), and
// detached work.
//
// # Concurrency
//
// The package does no I/O, starts no goroutine, reads no clock and has no locks.
// A [Log] is safe for concurrent use, because it never changes. Package
// participant holds the state of a process, and package operator carries out the
// steps of an operator.
//
// # Failure
//
// A log refuses an entry that does not follow its newest one: [ErrGap] when
// entries are missing between the two, [ErrFork] when the logs have forked. A
// process refuses calls by rules that it lacks ([ErrStale]) or that belong to
// another log ([ErrOtherLog]). A process that does not answer blocks a drain
// until its death is certified.
//
// # Tests
//
// The tests search a small model exhaustively. They play random sites, some of
// them with a log that has forked. Each rule is switched off in turn, to show
// that the checker then finds a violation.
package rollout
