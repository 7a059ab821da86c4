// Package agent keeps on one host running what the site's plan wants there.
//
// # Model
//
// An [Agent] reads a plan file that an operator has signed, takes from the store the artifacts that a builder has
// signed, and starts a shim for each instance. Everything it knows lies in its directory:
//
//	plan.json          the plan that is obeyed, with its signature
//	agent.json         what the agent says of itself
//	lock, locked       held while an agent runs; present: no new plan is taken
//	artifacts/DIGEST   unpacked artifacts
//	instances/NAME     the directory of a shim, with instance.json: for what it was started
//	files/NAME         configuration and secrets of the instance, which it may read
//	work/NAME          working directory of the instance
//	state/SERVICE~N    ${state}: outlives versions
//
// # Guarantees
//
// The agent may be killed or replaced at any time: instances run on, and the next agent finds them. It needs neither
// network nor database: after a start of the host the last plan, artifacts and secrets are there.
//
// A plan has no command line. What runs comes from a manifest that a builder has signed, for the service and version
// under which the plan names it. An operator's key alone runs only what a builder signed, a builder's key alone runs
// nothing. A plan with a lower number, another cluster or a bad signature is refused and shown.
//
// Secrets are files of the host. They are written into files of the instance's user only, never into reports, logs or
// arguments.
//
// # Failure
//
// What can't be done is a problem of [Report], and is tried again with the pace of shim.Restarts. An error with one
// instance holds up no other.
//
// # Tests
//
// Decisions are those of package plan, played in simulated worlds. The rest runs with real shims and programs: agents
// killed and replaced, wrong signatures, lost artifacts.
package agent
