// Package participant is one process's part in releases: it keeps the rule log
// as far as the process knows it, counts the work that is alive, and answers
// the operator's questions.
//
// # Model
//
//   - An [Agent] holds the process's [rollout.Log]. It applies entries that an
//     operator has signed, promises entries before they are committed, and says
//     which versions run here.
//   - A [Trace] is the part that this process has in one trace: it hands the
//     token on and recovers when a callee refuses it. An [Origin] is what begins
//     or joins traces: a method of a service, a route, a job.
//   - The ledger counts the spans that are alive, and reports those that were
//     alive since the last report and read older rules.
//
// # Guarantees
//
//   - An entry is obeyed only when its signature is trusted now, whether it came
//     from the network, from the database or from the process's own files.
//   - A promise is on disk before it is answered.
//   - A span is in the ledger before its handler runs and until its last call
//     has returned.
//
// # Concurrency
//
// An Agent, an Origin and a Trace may be used from any goroutine. The log is
// an immutable value behind an atomic pointer: calls read it without a lock.
package participant
