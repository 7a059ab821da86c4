// Package guarantees holds the tests behind docs/guarantees.md: every bound
// that the project promises is measured here on real processes.
//
// A test builds a site: hosts as network namespaces on a bridge (internal/lab), a private
// PostgreSQL where the scene has one (internal/pgtest), and processes on the hosts. The processes
// are this test binary, started again as provider or consumer. A consumer writes one line for every
// call. The test reads from the lines when the first call reached the new instance, when the last
// call went to the dead one, which calls failed and had been sent, and which instances each process
// had listed. All processes read the clock of one machine, so their times can be compared. TestPage
// keeps docs/guarantees.md and the tests together.
//
// Scenes with bounds of a second run first, their variants side by side. The
// long ones, which mostly wait, then run eight at a time.
//
// No test is skipped: without root, iproute2, nftables, PostgreSQL, PgBouncer or libfaketime they
// fail and name the program to install.
package guarantees

//go:generate thrift --gen go:package_prefix=github.com/skerry/skerry/test/guarantees/,skip_remote -out . echo.thrift
//go:generate gofmt -w echo
