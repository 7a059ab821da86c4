// Package operator carries a release out: it is the operator's side of package
// rollout.
//
// # Model
//
// Everything that is known of a release stands in the site's rule log: each
// step of a [Controller] appends one entry, which holds the session as the
// step left it, the rules that change with it, who did it and when. So a
// controller keeps nothing between steps, and any operator can go on with what
// another has begun.
//
// Where the log lives is a [Store]: a table of the database
// (registry/postgres), or, where there is none, the processes themselves: a
// [Ballot] has every member promise an entry before it is committed. A store
// in memory is the reference for tests. An entry must follow the newest one in number
// and hash; of two operators who write at once one is told so (rollout.ErrFork).
//
// The processes are reached by a [Site]: who they are, and a [Peer] for each.
//
// # Failure
//
// A store that can't be reached, and a site whose processes have applied what
// the store does not hold (a restored backup), freeze the log: traffic goes
// on, nothing is committed ([ErrFrozen], [ErrRestored], [Controller.Adopt]).
// A process that does not answer blocks what needs everybody (rule 5 of the
// protocol: silence is not death) until it answers, a process of its host
// certifies its death, or the operator vouches for it with Config.Without,
// which is recorded. An operator's command may die between any two steps: the
// next one finds the session in the log, and completes an entry that was
// promised and not committed ([Controller.Refresh]). Entries that block each
// other are settled without asking who proposed them: one process bars those
// that are given up, so that they never have everybody's promise.
//
// The guard of a ramp ([Controller.Ramp]) lives as long as the call: a ramp
// that is cut off stays at its share, unwatched, until another goes on.
//
// # Tests
//
// One conformance suite for all stores; sites in memory for every failure above.
package operator
