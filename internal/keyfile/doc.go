// Package keyfile reads and writes the files of site keys and of operators.
//
// # Model
//
// [Keys] and [Operators] are files that a process looks at every 5 s, see
// [Period], so that neither a rotation nor a new operator needs a restart. The
// values they hold are a [sitekey.Ring] and a [sshsig.Operators], which others
// read. Keys stand in the files that the configuration names, all of them, or
// in the first of [Places] that there is.
//
// # What is refused
//
// A key file that other users may read or write, and a file of operators that
// other users may write, or that belongs to another user than this process's
// or root. The error holds the command that mends it. The group may read a key
// file of root's: that is how systemd hands out credentials. What is no
// regular file is never waited for, and no more than its bound is read.
//
// # Failure
//
// The first look must succeed. Later on a file that is bad, unreadable or half
// written changes nothing: the last good values stay, and the error is reported
// once until it changes. A key or operator that vanishes from its file stays for
// one look more, as a file that is being written may end early.
//
// A file of keys that is empty or gone leaves the last keys, too: without any
// the process would be cut off. A file of operators that is empty or gone takes
// the last operator away, so that the key of one can be ended in any case.
//
// # Writing
//
// A file is replaced whole, by a rename, and keeps its owner, its group, its
// mode and its comments. No error and no log line quotes what a key file holds.
//
// # Concurrency
//
// Look and Run are for one goroutine at a time; all else is safe for
// concurrent use. No goroutine runs.
package keyfile
