// Package control gives commands the operator's view of a site through a node. Services do not use it.
//
// # Model
//
// A command opens a node as an observer. It asks the internal services of the site's processes for their identity, for
// the keys by which they verify and for their counts of refusals. [Releases] returns the steps of a release (package
// internal/rollout/operator), on the rule log of the same processes or of the database.
//
// # Concurrency
//
// Functions may be called from any goroutine.
//
// # Failure
//
// A process that does not answer within 3 s counts as silent. A process is left out only when a process of the same
// host certifies that it has ended.
//
// # Tests
//
// The tests release services between nodes, in both modes and under load.
package control
