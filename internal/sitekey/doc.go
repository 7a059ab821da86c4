// Package sitekey holds the secret that makes a process a member of a site.
//
// # Model
//
// A [Key] is 32 random bytes. Its text, sk1-…, carries a check sum, which separates a typing mistake from a key
// of another site. No key is used directly: [Key.Use] derives 32 bytes for each use and cluster by HKDF-SHA256,
// so that a leak of one use says nothing about another.
//
// A [Ring] is the list of keys of a process. The first signs, all verify. A rotation adds a key behind the first,
// waits for every member, moves it to the front, waits again, and removes the old key.
//
// # Guarantees
//
// A Key prints as its fingerprint, by every verb of fmt, in logs and in JSON, also as a field of another value.
// [Key.Text] is the only way to the secret. No error of this package quotes its input.
//
// # Concurrency
//
// Keys are values and may be compared by ==. A Ring may be used from any goroutine; reading takes no lock.
//
// Package internal/keyfile reads the files that hold keys.
package sitekey
