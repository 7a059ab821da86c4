// Package order gives the hosts of a site their orders: the next plan, signed by an operator.
//
// # Model
//
// A [Desk] asks the agents for the plan that is in force, has it edited, gives it the next number, signs it and
// offers it to every host. It keeps nothing: two operators may use two desks, from two hosts. When both give a plan of
// the same number, the agents refuse both, [Desk.Look] returns [ErrRivals], and the next plan decides.
//
// # Guarantees
//
// A plan is edited only if a key of the operators has signed it, so no host can slip a change into what an operator
// signs. A host may keep the newest plan back: others tell it then. Nothing is signed that the agents would refuse.
//
// # Failure
//
// A host that does not answer takes the plan later, from its neighbours. [Given] names it.
package order
