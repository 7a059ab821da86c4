// Package plan says what runs where on a site, and what a host does to get there.
//
// # Model
//
// A [Plan] is one signed, numbered document for a site. [Plan.On] gives what it wants on one host. [Steps] compares
// that with what an agent has seen and returns what to do next. The package is pure: it reads no clock, no file and
// no network, and remembers nothing, so an agent that is killed between any two steps goes on where it was.
//
// An operator writes a draft, which [ParseDraft] reads. It may leave out digests of artifacts, and choose hosts by
// labels. [Plan.Resolve] writes both into the plan before it is signed, so agents need no agreement about them. [Diff]
// and [Effects] say what a plan would change.
//
// # Guarantees
//
// A plan has no command line: it names artifacts, which are signed by builders. An instance that is wanted as it is
// is never touched. Two living instances of a service never have one port. A change of a service takes its instances
// one at a time, and stops at the first that does not come up.
//
// Equal plans have equal texts ([Plan.Marshal]), and a text is read back as the same plan. A selector moves no more
// instances than an even spread needs.
//
// # Failure
//
// [Parse] reports every mistake with its line. What a host cannot do is a step Blocked with its reason.
//
// # Tests
//
// Simulated worlds: random plans, crashes of the agent, deaths of shims; they end as the last plan wants it.
package plan
