// Gotest runs "go test -json" with its arguments and prints a readable report: a line for each test
// and package, the full output of failed tests, and at the end the first complaints of each failed
// test, and a count. Flags come first and carry their value with "=".
//
// Its status is 1 when a test failed, when a package did not build, when a
// test was skipped (a skipped test shows nothing), and when no test ran.
//
// It also prints the tests that took longest, and for each test binary its real time, and its
// processor time with that of the processes it waited for. A package with little processor time for
// its real time merely waits.
//
// # Unsteady tests
//
// When at most three top-level tests have failed, each runs again alone, three times in a row, with
// the same flags. A test that passes all three times is unsteady. It does not fail the run, but it
// is named in capitals at the end, and with its first output in the file that $GOTEST_UNSTEADY
// names. Repair it at once, because it hides the next fault.
//
// Nothing runs again after a data race, a panic, a test that ran out of time, a package that did
// not build, or one that ended without naming a failed test. Each of these is a fault whatever a
// second run shows: a race that does not appear again still exists.
package main
