// Package sitepolicy is one process's part in the site's policy: the log that it holds and the table that it obeys.
//
// # Model
//
// A [Holder] takes entries of the policy log from anywhere ([Holder.Learn]), keeps those that it believes, and puts the
// one that wins in force. Callers read the table by [Holder.Table], an atomic pointer. [Holder.Run] puts another table
// in force when an item expires, or when an entry that was to be confirmed was not.
//
// A text that a later version of skerry has written is obeyed item by item, and what is left out is in [Holder.Status].
// Of access lists that are not understood the last ones that were stay in force; of a text that is not understood at
// all the whole policy before it. Both are found in the log again after a restart.
//
// A holder with [Config].ObeyNone has no table. It keeps the log and the ages, gives them to others, and says why in
// its status.
//
// # Guarantees
//
// Of one log all processes put the same entry in force, in whatever order its entries came. Whatever expires does so by
// the process's own monotonic clock. An age outlives a restart, without the time in which the process did not run.
//
// # Failure
//
// An entry that can't be believed or read changes nothing. Saving is the caller's, as is fetching.
//
// # Tests
//
// Holders learn entries in random orders and in virtual time (testing/synctest).
package sitepolicy
