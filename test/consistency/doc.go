// Package consistency plays releases with real processes and lets the checker
// of rollout/rollouttest judge what they did: the schedules A1 to A28 that
// docs/protocol.md lists.
//
// A test builds a site: hosts as network namespaces with names of their own
// (internal/lab), and on them this test binary started again in a role: a
// service in one version, users that send requests into its entries, a job
// that begins traces itself, a relay that delays or loses what passes it, a
// plain Apache Thrift server. The operator is the real command, built from
// cmd/skerry.
//
// A request carries a plan: which services to call next, side by side or one after the
// other, one-way, with which pauses, and what goes wrong on the way. Every
// process writes a line when it begins a call and one when it has ended it,
// so that not even kill -9 hides an execution. From the lines, and from the
// log of the releases, a site makes one rollouttest.History, which must be
// without a finding, and a list of requests, of which none may have failed but
// those that an injected fault explains.
//
// TestPlainRestartIsCaught restarts services with the same harness without a
// release, and shows that the checker notices.
//
// The scenes mostly wait, and run side by side. Nothing is skipped: without
// root, iproute2 or nftables they fail and say what to install.
package consistency

//go:generate thrift --gen go:package_prefix=github.com/skerry/skerry/test/consistency/,skip_remote -out . hop.thrift
//go:generate gofmt -w hop
