// Package consistency plays releases with real processes. The checker of rollout/rollouttest judges
// the executed calls: the schedules A1 to A28 that docs/protocol.md lists.
//
// A test builds a site: hosts as network namespaces with names of their own (internal/lab), and on
// them this test binary, started again in a role. The roles are a service in one version, users
// that send requests to its entries, a job that begins traces itself, a relay that delays or loses
// bytes, and a plain Apache Thrift server. The operator is the real command, built from cmd/skerry.
//
// A request carries a plan: the services to call next, side by side or one after the other,
// one-way, with pauses and faults. Every process writes a line when it begins a call and one when
// it has ended it, so that even kill -9 hides no execution. A site makes one rollouttest.History
// from the lines and the log of the releases. The history must be without a finding. No request may
// fail except those that an injected fault explains.
//
// TestPlainRestartIsCaught restarts services with the same harness without a release, and shows
// that the checker detects it.
//
// The scenes mostly wait, and run side by side. No test is skipped: without root, iproute2 or
// nftables they fail and name the program to install.
package consistency

//go:generate thrift --gen go:package_prefix=github.com/skerry/skerry/test/consistency/,skip_remote -out . hop.thrift
//go:generate gofmt -w hop
