// Gotest runs "go test -json" with the arguments it is given and prints what
// a person reads of it: a line for each test and package, the full output of
// whatever failed, and at the end the first complaints of each failed test,
// and a count. Flags come first and carry their value with "=".
//
// Its status is 1 when a test failed, when a package did not build, when a
// test was skipped (a skipped test shows nothing), and when no test ran.
//
// It also prints the tests that took longest, and what each test binary used:
// real time, and processor time with that of the processes it waited for. A
// package with little of the second for its first merely waits.
//
// # Tests that fail beside the others only
//
// When at most three top-level tests have failed, each runs again alone, three
// times in a row, with the same flags. A test that passes all three times is
// unsteady: it does not fail the run, but it is named in capitals at the end,
// and in the file that $GOTEST_UNSTEADY names, with what it said when it
// failed. It is to be mended at once, since it hides the next fault.
//
// Nothing runs again after a data race, a panic, a test that ran out of time, a
// package that did not build or that ended without naming a failed test. Each
// of these is a fault whatever happens the next time: a race that does not show
// again is still there.
package main
