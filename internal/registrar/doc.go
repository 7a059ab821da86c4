// Package registrar keeps what one process offers registered, and shows lists to
// the process's watchers. Every registry but the in-memory one is built on it.
//
// # Model
//
// A Registrar holds the instances that the process wants to be listed, and hands
// the difference to a Writer until the Writer has applied it. A Publisher holds the
// newest list of each service and the recent departures.
//
// # Guarantees
//
// A registration is repeated with backoff until the Writer returns nil, so a Writer
// must be idempotent. At the end of Run the Registrar removes what it has listed,
// for up to 2 s. A Publisher may skip lists that a slow watcher had no time for. It
// never skips the newest one.
//
// # Concurrency
//
// The methods of both may be called from any goroutine. Run owns the writing.
//
// # Tests
//
// Unit tests run in virtual time; registrytest is the conformance suite of the
// registries that are built on this package.
package registrar
