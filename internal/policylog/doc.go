// Package policylog keeps the policies of a site: each change with its number, its author and its proof.
//
// # Model
//
// An [Entry] holds a whole text, so the newest one is the policy. It has a number and names the hash of the entry that
// it was made on. It is kept, hashed, signed, stored and sent as the bytes of its writer; fields of the future survive.
//
// A [Log] is what one process holds: the newest entry and some before it. [Log.Merge] takes entries from anywhere in
// any order. Of all entries that a process believes the one with the highest number wins, and of several with one
// number the one with the highest hash. Two operators that write at once, or on two sides of a network that fell in
// two, thus have one winner everywhere as soon as the entries meet. The loser stays in the log and is named by
// [Log.Lost].
//
// A [Store] orders entries where one place exists, such as the site's database: it refuses a change that was not made
// on the newest entry ([ErrStale]).
//
// # Guarantees
//
// An entry is believed when a key that is trusted now has signed it for [Purpose], or when such an entry names it as
// its predecessor. It fits one place: its cluster, number and predecessor are signed. The process that brings it, the
// time and the number of times do not matter.
//
// An entry with Confirm goes back by itself when no further entry has come in time: [Log.Current] is then the nearest
// one before it without Confirm, so that no site goes back to what was not confirmed before.
//
// # Failure
//
// A log holds up to 64 entries and 4 MiB. Older ones are dropped, never the newest and its predecessor. An entry that
// can't be believed changes nothing and is an error with its reason.
//
// # Concurrency
//
// Values are immutable. The package does no I/O and reads no clock.
//
// # Tests
//
// Random entries are merged in random orders by processes that meet in pairs: all end with the same newest entry. Wrong
// rules for the winner are found by the same search. Package policylogtest is the suite of every Store.
package policylog
