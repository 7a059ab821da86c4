// Package policytry says what another policy would have done with the calls of the last minutes.
//
// # Model
//
// [Try] compares a candidate with the policy in force over the records of one process (package recent), and returns a
// [Report]: an [Effect] for each item and setting that treats these calls otherwise than that policy. A process
// answers for the calls that it served where the callee obeys (access, limits), and for those that it made where the
// caller does (time-outs, fallbacks, routes, weights, faults, mirrors). [Sum] adds up the reports of a site.
//
// # Exact, and not
//
// An effect is exact when the items that decide match by service, method, version and what is known of the caller.
// Where they match by mark, baggage or percent, calls are drawn from the sample, and the effect has a standard error.
//
//   - Time-outs: exact for times of two decimal digits, such as 250ms. For others, the calls that took about as long
//     are the error.
//   - Rates: simulated second by second, with the share that each instance has. Calls are taken as evenly spread within
//     their second, which is not so of bursts. What nothing simulates is callers that try again.
//   - Calls at a time: exact, and 0, where never more calls were served at a time than the limit. Else by Erlang's
//     formula, from the time that calls took: calls that come by chance, and take as long whatever the limit.
//
// # Bounds
//
// A report has at most 200 effects, each with 10 callers and 5 examples. [Try] stops after a second and says so.
//
// # Tests
//
// TestPredictions records a load at real servers, tries a candidate of each kind, applies it to the same load again,
// and compares.
package policytry
