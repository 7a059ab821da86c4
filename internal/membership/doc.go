// Package membership is one process's part in a site: which processes there
// are, how they are asked, and how the rules of releases reach this one.
//
// # Model
//
// Every process is listed under the hidden service skerry.node. A [Membership]
// remembers all that were ever listed and have not said goodbye, since one that
// has vanished may live and hold what a release wants to stop. It asks other
// processes by their internal service (internal/wire) and answers their
// questions by its own, [Service].
//
// The rules of versions come from four sides: the database tells them, members
// announce newer ones, calls bring them, and calls that meet unknown ones ask.
// One type fetches them all (ruleSync): a few questions at a time, newest first,
// until nothing newer is announced.
//
// # Guarantees
//
//   - [New] does no I/O beyond the state files; [Membership.Run] owns and joins
//     every goroutine.
//   - No trace begins before the rules of the site are known, or it is known that
//     none can be had, 8 s at most.
//   - A process is taken for dead only when a process of its host says so.
//   - What strangers bring is believed only when it proves itself, and costs at
//     most 200 checks of signatures a second.
//
// # Failure
//
// A question to a process ends after 3 s. Silence proves nothing: the process
// stays on the list.
//
// # Concurrency
//
// Methods may be called from any goroutine.
//
// # Tests
//
// The start, the list, the proofs of announcers and the bounds are tested here in
// virtual time; package skerry tests them between nodes, test/guarantees between
// processes.
package membership
