// Package memtest measures memory in tests. The runtime counts for the whole
// process, so whatever else runs there adds to a figure. Therefore no package
// that uses this one, or reads the counters itself, may run tests in parallel: a
// test of the root package looks. What can be repeated is measured several times.
package memtest
