// Package rollouttest proves or refutes that a run was version consistent.
//
// A test records a [Span] for every call that any process received, the
// entries of the rule log, and what happened to versions and processes;
// [History.Check] then says what was violated, and by which spans. It takes
// time linear in the number of spans. The checker knows nothing of how the
// run was made: simulations in virtual time and real processes are judged by
// the same rules (C1 to C10, named in the findings).
package rollouttest
