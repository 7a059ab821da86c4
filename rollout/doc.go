// Package rollout decides which version of a service a request may meet.
//
// # Model
//
// The routing rules of a site are a numbered log. Everything that one outside
// request sets off, over all services, is a trace; it reads one snapshot of
// the log, like a transaction in an MVCC database, and an old version may go
// once no live trace can still read a snapshot that needs it.
//
//   - A [Log] is the rules up to a [Generation]: immutable, copied on write.
//   - A [Token] names the snapshot a trace reads, and the seed that decides
//     for it where shares are split. It is minted once, at the root of the
//     trace, and travels in every call.
//   - [Log.Resolve] gives the version of a service for a token: a pure
//     function of (service, token, rules at the token's generation).
//   - [Log.Admit] is the same question asked by the callee about itself.
//   - A [Graph] says which service may call which, as the processes themselves
//     say: work from which no way leads to a service does not hold it back.
//   - A [Drain] collects the reports of all processes in rounds and says when
//     the old version may stop, and, until then, who holds it back.
//   - A [Release] is the state machine of one session over many services.
//
// # Guarantees
//
//   - G1: no trace is executed by two versions of one service.
//   - G2: over a release of several services a trace sees all old or all new.
//
// Both rest on four things and nothing else: the token is fixed at the root;
// the rules of a generation never change; the version is a pure function of
// token and rules; caller and callee both refuse rather than guess. Clocks,
// leases and the order of messages don't matter. Draining concerns only
// availability: stopping a version too early aborts a trace, it never mixes
// versions.
//
// # Not covered
//
// Data that two versions share in a database; services declared best effort;
// calls that lost their context (they are counted); detached work.
//
// The package does no I/O, starts no goroutine, reads no clock and has no locks;
// package participant is what a process does with it. Its tests search the small model exhaustively,
// play random sites, also with a log that has parted, and break each rule in
// turn to show that the checker notices.
package rollout
