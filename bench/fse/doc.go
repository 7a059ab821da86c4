// Package fse repeats the simulation of Ma, Baresi, Ghezzi, Panzica La Manna
// and Lu, "Version-consistent Dynamic Reconfiguration of Component-Based
// Distributed Systems" (ESEC/FSE 2011, section 5), and puts skerry's releases
// beside the two approaches that are compared there.
//
// The workload is the published one: directed scale-free graphs, requests at
// every component with exponential intervals of mean 25, local work
// N(50, 10) cut to (0, 100), messages of 5, on average one sub-transaction
// along each outgoing edge, a random target that another depends on. The
// paper gives neither the density of its graphs nor how the number of
// sub-transactions spreads; both are calibrated to its timeliness (package sim).
//
//   - Timeliness is the time from the request to update until the target may
//     be replaced.
//   - Disruption is the loss of working time: the work that requests would
//     have done before the target is ready, and have not, because they waited.
//
// Nothing queues for a processor and no component fails, so a request's course
// follows from its beginning: a [timeline] is computed, not simulated.
// Quiescence and version consistency are judged on the timelines directly;
// skerry's part is played by its own Ledger and Drain, fed with the same
// timelines.
package fse
