// Package control is the operator's view of a site through a node: for commands,
// not for services.
//
// # Model
//
// A command opens a node as an observer and asks the processes of the site, by
// their internal services: which there are, by which keys they verify, what they
// have refused. [Releases] gives the steps of a release (package
// rollout/operator) that go by the same processes, or by the database.
//
// # Failure
//
// A process that does not answer within 3 s is silent. A process is left out only
// when a process of its host certifies its death.
//
// # Concurrency
//
// Functions may be called from any goroutine.
//
// # Tests
//
// Releases between nodes, in both modes, and under load.
package control
