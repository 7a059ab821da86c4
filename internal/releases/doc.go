// Package releases says how a site's releases stand, and makes their steps, for operators: the command skerry release
// and the console show and do the same by it, in the same words.
//
// # Model
//
// [Operations] is a site as one operator controls it; [Live] is that through a node. [Site] is its state by the answers
// of all processes. [StatusOf] computes of it what operators are shown. A step is planned first: [PlanStart],
// [PlanShip], [PlanCommit], [PlanRollback] and [PlanClean] check it and say what it will do, in [Step]. Its Do makes
// it, after a question to the operator.
//
// # Failure
//
// Errors for operators are an [Error] and say what to do next; [Explain] makes one of any error of a step.
//
// # Concurrency
//
// Operations are for one step at a time. The log of releases refuses one of two steps that were planned on the same
// state.
//
// # Tests
//
// The tests of cmd/skerry play the steps on a site in memory and on real ones; those of package console play them by
// forms.
package releases
