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
//     takes a fresh one when a callee refuses it. An [Origin] begins or joins
//     traces: a method of a service, a route, a job.
//   - The ledger counts live spans. Its reports name the spans of older rules
//     that were alive since the last report.
//
// # Guarantees
//
//   - An entry is applied only if a key that is trusted at that time has signed
//     it, or a later entry of its chain. The source does not matter: network,
//     database, or the process's own files.
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
// are saved, so a slow or full disk delays no call. Saved state that fails the
// checks is left out at the next start, and New reports it.
package participant
