// Package rpc calls Thrift services and serves them.
//
// # Model
//
// A [Client] gives a thrift.TClient for each service, and generated code of the
// stock Thrift compiler runs on it unchanged. For each call the client asks a
// [Picker] for an [Endpoint], sends the call on a connection that many calls
// share, and retries or falls back by its [ServiceOptions]. A [Server] serves
// the processors of generated code on one port, to skerry clients and to plain
// Thrift clients of any language. A [RawHandler] serves arguments without their
// IDL. The package knows no registry: package discovery implements [Resolver],
// Picker and [Watcher]. Sockets, buffers and framing are in package
// rpc/internal/transport.
//
// A generated client keeps the last reply's headers in a plain field, so two
// goroutines must not call through one value. The thrift.TClient below it may be
// shared. Make a generated client for each call:
//
//	tc, err := client.Service("auth", rpc.ServiceOptions{}) // once
//	token, err := authapi.NewAuthClient(tc).GetToken(ctx)   // in any goroutine
//
// # Guarantees
//
// A call ends at most 10 ms after its deadline or the end of its context. The
// remaining time travels with the call and becomes the deadline of the handler's
// context. Every failure is an [*Error]: Code says what happened and Executed
// whether the handler ran. [SafeToRetry] reports that it certainly did not. An
// exception that the IDL declares is returned as it is.
//
// A call that may have been executed is sent again only for methods that are
// declared Idempotent. A call reaches only the process, service and version that
// its endpoint names (ErrOther). A late reply never answers another call.
//
// With ClientConfig.Rollout and ServerConfig.Rollout every call belongs to a
// trace (package rollout) and reaches only the version that the rules give its
// token. A process that lacks rules gets them by its [RuleExchange], and the
// call is made again. When that does not help, the call fails unexecuted
// (RulesNeeded, Retired, WrongVersion, VersionUnavailable, RulesForked).
//
// A size that a peer announces is checked before memory is taken for it, and the
// memory of decoding is counted before it is taken. [Sizes], MaxConns, MaxCalls
// and MaxConnCalls bound what peers can make a process hold.
//
// # Streams
//
// A method can be a stream: its items go to the caller ([OpenServerStream]), to the provider
// ([OpenClientStream]), or both ways ([OpenBidiStream]). A [StreamProcessor] serves streams beside the
// methods of a generated processor. The opening is a call with all that calls have; once the provider has
// accepted it, nothing is sent again. A sender waits while the receiver's application takes too little, and
// holds up no other stream and no call. [Go] and [Promise] are calls that no goroutine waits for. docs/streams.md
// has the frames and the bounds.
//
// # Failure
//
// A broken connection fails its calls at once and is reported to the Watcher. A
// silent peer is found by a ping after a second and given up a second later, or
// by TCP keepalives when no call is under way. A handler's panic is answered as
// HandlerPanicked and logged; the server goes on.
//
// To stop a server without a failed call, call [Server.Leave], wait for a grace
// period, and call [Server.Drain]. Running calls then end, later ones are refused
// unexecuted, and skerry clients learn that nothing else was executed.
//
// # Processes of the site
//
// With ServerConfig.Site a port also takes site connections: TLS 1.3 with
// certificates made from the site's key (package internal/sitetls). Services of
// [Server.HandleInternal] are for members of the site. Other peers are refused as
// NotMember before their arguments are read. On plain connections both sides
// prove a key of the site without another round trip ([Identity]).
//
// # Concurrency
//
// Client and Server are safe for concurrent use. Server.Serve blocks and joins
// what it started. A Client starts goroutines with its first connection; Close
// joins them. [NewServer] sets thrift.ServerConnectivityCheckInterval to 0 in the
// whole process: make the server before a stock Thrift server of the same program
// serves, and set the interval again if that server needs its polling.
//
// # Tests
//
// Stock Go clients and servers of every protocol are the other end, on real TCP.
// What depends on time runs on memory connections in virtual time. The server's
// connections are fuzzed. Retries, connections, metadata and limits are described
// in docs/calls.md.
package rpc
