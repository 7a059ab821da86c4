// Package guarantees holds the tests behind docs/guarantees.md: every bound
// that the project promises is measured here on real processes.
//
// A test builds a site: hosts as network namespaces on a bridge
// (internal/lab), a private PostgreSQL where the scene has one
// (internal/pgtest), and processes on the hosts, which are this test binary
// started again in the role of a provider or a consumer. A consumer writes
// one line for every call it makes; the test reads the lines and asks them:
// when did the first call reach the new instance, when did the last call go
// to the dead one, which calls failed and had they been sent. All processes
// read the clock of one machine, so their times can be compared.
//
// Nothing is skipped: without root, iproute2, nftables or PostgreSQL the
// tests fail and say what to install.
package guarantees
