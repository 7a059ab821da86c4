// Package proxy is the companion of programs that don't use the Go library: a
// program in any language that Thrift has becomes a member of the site through
// it. `skerry proxy` runs it, on the program's host.
//
// # Outgoing
//
// A program calls any service over a Unix socket (or a port of the loopback
// interface, with a token) as if the service listened there, with the client that
// its stock Thrift library has. The proxy doesn't know the IDL: arguments and
// results pass as they stand in the message (rpc.Raw), and their values are copied
// where the callee speaks the other encoding. The service is the multiplexed name
// ("auth:verify"), the info header sk-s, or that of the port. All that holds for
// the calls of a Go process holds for them: the proxy opens a node for each
// program, under the program's name.
//
// # Incoming
//
// What a program provides is listed at the proxy's own port while the program
// answers a check. Calls are admitted, limited, drained and counted as those of a
// Go service, and forwarded over a pool of connections, one call at a time on each.
// What the program did is told as it was: without a
// connection the call is Unreachable and was not executed; a connection that
// ends in a call while the program takes another is HandlerFailed.
//
// # Contexts
//
// Each incoming call has a word, random text that stands for its trace, deadline
// and token while it runs. A program with a helper (lang/) gets it in front of the
// method's name ("ctx=WORD.MS;verify") and brings it back in front of the names
// that it calls ("ctx=WORD;auth:verify"). Such a call belongs to the trace, and is
// over with the incoming one. A word that is not known, or has ended, makes an
// orphan: a trace of its own, or refused (rollout.orphans: strict). Whether a
// program has a helper is asked of it (skerry.helper), again when a connection to
// it has ended.
//
// A one-way call is over when the program has answered skerry.helper behind it on
// the same connection, or at its deadline.
//
// # Upgrade
//
// A second proxy with the same configuration binds a socket of its own beside
// the first one's and renames a link to it over the socket's name, so that new
// connections reach it. When its services are listed it tells the first one, which leaves the
// lists, drains, and hands over what its connections hold (rpc.Server.Handover).
// Words name their proxy: the second one passes calls that bring the first one's
// words on to it.
//
// # Failure
//
// A proxy that dies is its programs dying, for callers. A program that dies is
// off the lists after failed checks, and calls to it are told at once that they were
// not executed. A program may start before its proxy; helpers try to connect again.
//
// # Tests
//
// Stock Go clients and servers of every protocol on real sockets, a site on
// loopback, takeovers under load; names and words by tables and fuzzing.
package proxy
