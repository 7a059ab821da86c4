// Package keyfile reads and writes the files of site keys and of operators.
//
// # Model
//
// [Keys] and [Operators] are files that a process checks every 5 s, see [Period], so that neither a rotation nor
// a new operator needs a restart. They hold a [sitekey.Ring] and a [sshsig.Operators] for the rest of the
// process. Keys are in the files that the configuration names, in all of them, or in the first of [Places] that
// exists.
//
// # Guarantees
//
// A key file is refused if other users may read or write it. A file of operators is refused if other users may
// write it. Either must belong to this process's user or root. The error names the command that corrects it. The
// group may read a key file of root's: systemd hands out credentials in this form. A process never waits for a
// file that is not regular, and reads no more than its bound.
//
// A file is replaced whole, by a rename, and keeps its owner, its group, its mode and its comments. No error and
// no log line quotes a key file.
//
// # Failure
//
// The first read must succeed. Later a bad, unreadable or half written file changes nothing: the last good values
// stay, and the error is reported once until it changes. A key or operator that vanishes from its file stays
// until the next read confirms it, as a file that is being written may end early.
//
// A file of keys that is empty or gone also leaves the last keys: without any the process would be cut off. A
// file of operators that is empty or gone removes the last operator, so that every operator's key can be ended.
//
// # Concurrency
//
// Look and Run are for one goroutine at a time; all else is safe for concurrent use. No goroutine runs.
package keyfile
