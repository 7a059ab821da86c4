// Package rollouttest checks whether a recorded run was version consistent.
//
// A test records a [Span] for every call that a process received, the entries
// of the rule log, and the [Event]s of versions. [History.Check] then returns
// the violations and their spans, in time linear in the number of spans.
// The checker does not depend on how the run was made: the same rules judge
// simulations in virtual time and real processes. The rules have numbers, by
// which a [Finding] and the code name them: C1 to C6, C9, and C10, which is
// [History.Share].
package rollouttest
