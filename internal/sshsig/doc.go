// Package sshsig checks signatures of operators.
//
// # Model
//
// An operator signs with an Ed25519 key of OpenSSH. A signature has the binary form of OpenSSH's PROTOCOL.sshsig,
// as ssh-keygen -Y sign makes it. It carries the public key and a namespace, so that a signature for one purpose
// proves nothing for another. [Verify] returns the key that has signed. [Operators] returns the operator with
// that key, and whether it may sign in the namespace.
//
// Only Ed25519 is accepted. A blob has exactly one form: bytes behind its end, an unknown version or reserved
// bytes are refused.
//
// # The file of operators
//
// [ParseOperators] reads a part of OpenSSH's allowed_signers: one plain name a line, namespaces are named, and
// lines that depend on a clock or an authority are refused. ssh-keygen -Y verify reads the same file.
//
// # Guarantees
//
// A blob is at most 1 KiB, a file 256 KiB and 1,000 operators. The package imports the standard library alone, as
// every service links it. Package internal/operatorkey handles private keys.
//
// # Concurrency
//
// All functions are safe for concurrent use. [Operators] is read without a lock.
package sshsig
