// Package sshsig checks signatures of operators.
//
// # Model
//
// An operator signs with an Ed25519 key of OpenSSH. A signature is what
// ssh-keygen -Y sign makes, in the binary form of OpenSSH's PROTOCOL.sshsig: it
// carries the public key and a namespace, so that what was signed for one
// purpose proves nothing for another. [Verify] tells which key has signed;
// [Operators] tells whose key that is and whether it may sign in the namespace.
//
// Only Ed25519 is taken. A blob has exactly one form: what stands behind its
// end, an unknown version or reserved bytes are refused.
//
// # The file of operators
//
// [ParseOperators] reads OpenSSH's allowed_signers, and less of it: one plain
// name a line, namespaces are named, and lines whose meaning depends on a clock
// or an authority are refused. ssh-keygen -Y verify reads the same file.
//
// # Bounds
//
// A blob is at most 1 KiB, a file 256 KiB and 1,000 operators.
//
// # Concurrency
//
// All functions are safe for concurrent use. [Operators] is read without a lock.
//
// The package stands on the standard library alone, as every service links it.
// Private keys are the matter of package internal/operatorkey.
package sshsig
