// Package trust decides which processes and operators a process believes.
//
// # Model
//
// A site has keys, which all its processes share, and may name operators, which sign releases by keys of their
// own. [Trust] holds both. The keys come from files, from the configuration or from the database, in this order.
// They change while the process runs; the first key signs, all of them verify.
//
// Each use of a key (packets on the LAN, site connections, greetings, releases, promises) has a key of its own,
// derived from the site's.
//
// # Guarantees
//
//   - A named file that can't be read is an error at the start. After a later failure the last good keys stay in
//     force, and the log says so.
//   - If operators are named, no signature of the site's key moves a release.
//   - A process without any key believes processes of its own host only.
//
// # Concurrency
//
// Methods may be called from any goroutine.
//
// # Tests
//
// Where keys come from, which proofs and peers count, and rotations in virtual time. Package keyfile tests the
// files, package skerry the processes, test/attack the attempts of strangers.
package trust
