// Package proxy connects programs that don't use the Go library: a program in any language of Thrift becomes
// a member of the site through it. `skerry proxy` runs it on the program's host.
//
// # Model
//
// Outgoing calls: a program calls any service over a Unix socket as if the service listened there, with the
// client of its stock Thrift library. A port of the loopback interface with a token serves as well. The service
// is the multiplexed name ("auth:verify"), the info header sk-s or the service of the port.
//
// The proxy doesn't know the IDL. Arguments and results pass unchanged (rpc.Raw), and their values are copied
// where the callee uses the other encoding. The proxy opens a node for each program, under the program's name. So
// the calls have every property of a Go process's calls.
//
// Incoming calls: the proxy lists a provided service at its own port while the program answers a check. It admits,
// limits, drains and counts the calls like those of a Go service. It forwards them over a pool of connections,
// one call at a time on each.
//
// Contexts: each incoming call has a word, random text that stands for its trace, deadline and token while it
// runs. A program with a helper (lang/) gets the word in front of the method's name ("ctx=WORD.MS;verify"). The
// helper puts the word in front of the names that the program calls ("ctx=WORD;auth:verify"). Such a call
// belongs to the trace and ends with the incoming call. An unknown or ended word makes the call an orphan: it
// starts a trace of its own, or is refused (rollout.orphans: strict). The proxy asks a program for its helper
// (skerry.helper), again after a connection has ended.
//
// A program may end a call while its one-way calls wait in a socket. The word would end before they are read. So
// a helper calls skerry.sent behind each ("ctx=WORD;skerry.sent"), and the handler goes on when it is answered:
// the one-way calls with that word are sent. A word outlives its call until one-way calls that were read are sent.
//
// # Guarantees
//
// The caller learns what the program did. A call without a connection is Unreachable and was not executed. A
// connection that ends during a call, while the program accepts another one, is HandlerFailed. A one-way call
// ends when the program has answered skerry.helper behind it on the same connection, or at its deadline.
//
// An upgrade fails no call. A second proxy with the same configuration binds a socket of its own beside the
// first one's. When it knows the site's rules and what the program calls, it renames a link to it over the
// socket's name, so that new connections reach the second proxy. When its services are listed it tells the first
// proxy. The first proxy leaves the lists, drains, and hands over the content of its connections
// (rpc.Server.Handover). Words name their proxy: the second proxy passes calls with the first one's words on to it.
//
// A service manager may hold the sockets (LISTEN_FDS). Then a proxy that stops leaves the connections that
// wait to the next one.
//
// # Failure
//
// For callers, the end of a proxy is the end of its programs. A program that dies is off the lists after
// failed checks. Calls to it fail at once, as not executed. A program may start before its proxy, because
// helpers retry the connection.
//
// # Tests
//
// The tests run stock Go clients and servers of every protocol on real sockets, a site on loopback, and takeovers
// under load. Tables and fuzzing test names and words.
package proxy
