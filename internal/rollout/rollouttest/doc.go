// Package rollouttest checks whether a recorded run was version consistent.
//
// A test records a [Span] for every call that a process received, the entries
// of the rule log, and the [Event]s of versions. [History.Check] then returns
// the violations and their spans, in time linear in the number of spans.
// The checker does not depend on how the run was made: the same rules (C1 to
// C10, named in the findings) judge simulations in virtual time and real
// processes.
package rollouttest
