// Gotest runs "go test -json" with the arguments it is given and prints what
// a person wants of it: a line for each test and package, the full output of
// whatever failed, and at the end the first complaints of each failed test,
// and a count.
//
// Its status is 1 when a test failed, when a package did not build, when a
// test was skipped (a skipped test shows nothing), and when no test ran.
package main
