// Package participant is one process's part in releases. It keeps the rule log
// as far as the process knows it, counts the live work, and answers the
// operator's questions.
//
// # Model
//
//   - An [Agent] holds the process's [rollout.Log]. It applies entries that an
//     operator has signed, promises entries before they are committed, and
//     reports which versions run here.
//   - A [Trace] is the process's part in one trace: it passes the token on, and
//     takes a fresh one when a callee refuses the first. An [Origin] begins or
//     joins traces: it is a method of a service, a route, or a job.
//   - The ledger counts live spans. A report names the work of older rules that
//     was alive at any time since the report before.
//
// # Guarantees
//
//   - An entry is applied only if a key that is trusted at that time has signed
//     it or a later entry of the same chain. This holds for entries from the
//     network, from the database, and from the process's own files.
//   - A promise is on disk before it is answered.
//   - A span is in the ledger before its handler runs, and stays until its last
//     call has returned.
//
// # Concurrency
//
// An Agent, an Origin and a Trace may be used from any goroutine. The log is
// an immutable value behind an atomic pointer: calls read it without a lock.
//
// # Failure
//
// A promise that can't be saved is not given. Committed rules count before they
// are saved, so a slow or full disk delays no call. At its start a process
// leaves out saved state that fails the checks, and New reports it.
//
// # Tests
//
// A search runs the real ledger and drain through every order of events of a
// small site. Whole sites are played in virtual time, with faults and forked
// logs, and judged by package rollouttest. What comes from outside is fuzzed.
package participant
