// Package operator carries a release out. It is the operator's side of package
// rollout.
//
// # Model
//
// The site's rule log holds the whole state of a release. Each step of a
// [Controller] appends one entry: the session after the step, the rules that
// change, the operator and the time. A controller keeps no state between
// steps, so any operator can continue a release.
//
// A [Store] keeps the log. With a database it is a table (registry/postgres).
// Without one the processes keep it: a [Ballot] asks every member to promise
// an entry before it is committed. A store in memory is the reference for
// tests. An entry must follow the newest one in number and hash. When two
// operators write at once, one gets rollout.ErrFork.
//
// A [Site] lists the processes, with a [Peer] for each.
//
// # Concurrency
//
// The methods of a controller must not run concurrently. Controllers of several
// operators may work on one site at the same time.
//
// # Failure
//
// The log is frozen while the store can't be reached, and while processes have
// applied entries that the store lacks (a restored backup). Traffic continues,
// and no step is committed ([ErrFrozen], [ErrRestored], [Controller.Adopt]).
//
// A process that does not answer blocks the steps that need every process,
// because silence is not death. It blocks until it answers, a process of its
// host certifies its death, or the operator vouches for it with Config.Without,
// which is recorded.
//
// An operator's command may end between any two steps. The next command finds
// the session in the log. [Controller.Refresh] completes an entry that was
// promised and not committed. Of rival entries it completes one and gives up the
// others, even while their commands run: one process bars each of these, so none
// of them can ever have the promises of all processes.
//
// The guard of a ramp ([Controller.Ramp]) runs as long as the call. After an
// interruption the release stays at its share, unwatched, until another ramp
// continues.
//
// # Tests
//
// One conformance suite for all stores (operatortest), and sites in memory for
// every failure above.
package operator
