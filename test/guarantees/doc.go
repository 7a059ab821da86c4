// Package guarantees holds the tests behind docs/guarantees.md: every bound
// that the project promises is measured here on real processes.
//
// A test builds a site: hosts as network namespaces on a bridge
// (internal/lab), a private PostgreSQL where the scene has one
// (internal/pgtest), and processes on the hosts, which are this test binary
// started again in the role of a provider or a consumer. A consumer writes
// one line for every call it makes; the test reads the lines and asks them:
// when did the first call reach the new instance, when did the last call go
// to the dead one, which calls failed and had they been sent, which
// instances each process had listed. All processes read the clock of one machine, so their times can be
// compared. TestPage keeps docs/guarantees.md and the tests together.
//
// Scenes with bounds of a second run first, their variants side by side. The
// long ones, which mostly wait, then run eight at a time.
//
// Nothing is skipped: without root, iproute2, nftables, PostgreSQL, PgBouncer
// or libfaketime the tests fail and say what to install.
package guarantees

//go:generate thrift --gen go:package_prefix=github.com/skerry/skerry/test/guarantees/,skip_remote -out . echo.thrift
//go:generate gofmt -w echo
