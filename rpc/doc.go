// Package rpc calls Thrift services and serves them.
//
// A [Client] gives a thrift.TClient for each service: generated code of the
// stock Thrift compiler runs on it unchanged. For each call it asks a [Picker]
// for an [Endpoint], sends the call on a connection that many calls share, and
// gives up, tries another endpoint or falls back by its [ServiceOptions]. A
// [Server] serves the processors of generated code on one port, to skerry
// clients and to plain Thrift clients of any language. The package knows no
// registry: package discovery implements its Resolver, Picker and Watcher.
//
// # Generated clients are not safe for concurrent use
//
// A generated client keeps the last reply's headers in a plain field, so two
// goroutines must not call through one value. The thrift.TClient below it may
// be shared by all. Make a generated client for each call: it is one small
// struct.
//
//	tc, err := client.Service("auth", rpc.ServiceOptions{}) // once
//	token, err := authapi.NewAuthClient(tc).GetToken(ctx)   // in any goroutine
//
// # What a call promises
//
// A call ends within its deadline (the context's, or Timeout, 1 s, whichever
// is sooner) or when its context is cancelled, at most 10 ms late. The
// remaining time travels with the call and becomes the deadline of the
// handler's context, so it shrinks from hop to hop. A caller that gives up ends the handler's context too, and so does a
// connection that breaks. A client of another library that closes only its
// sending side, within 5 s of its calls, gets the replies to all of them.
//
// Every failure is an [*Error]. Its Code says what happened and its Executed
// whether the handler ran; [SafeToRetry] asks for the latter. An exception
// that the IDL declares is no failure: generated code returns it as it is.
//
// A call is sent again, to an endpoint that was not tried, up to Retries times
// (1 by default; 0 means never; attempts that found an instance gone do not
// count):
//   - always, when it never reached a handler because the instance could not
//     be reached (Unreachable), was stopping (Draining), or has the service no
//     more (UnknownService);
//   - for the methods declared Idempotent only, when the connection broke after
//     it was sent, or, while there is another instance, gave no sign of life for
//     half of the time that was left, not even to a ping;
//   - when the instance refused it as Overloaded, or an idempotent attempt took
//     longer than ServiceOptions.Attempt. These retries are load: they need the
//     leave of a budget (20 % of the calls in flight, at least 3).
//
// The last two wait a moment, and are not made by a process whose own caller is
// already retrying. A call without an instance, or whose instances are there no
// more, waits for the next one, within its deadline and Wait.
//
// # Connections
//
// A client has one connection to each skerry endpoint, made by the first call
// that needs it; calls wait for it up to their deadline. It counts as standing
// only when the server has answered a ping on it, within the connect time-out
// (500 ms): a frozen process that the kernel still accepts for is Unreachable,
// with nothing sent. So is a process or a version that is not the endpoint's
// (ErrOther): the answer to the ping says who it is. Replies come in the order in which they are ready.
//
// A broken connection fails its calls at once and is told to the [Watcher],
// also when no call is under way. A peer that has vanished without a word is
// found by a ping after a second of silence while something is expected, and
// given up a second later; TCP keep-alives (1 s, 3 times; after 5 s without a
// call 10 s) find it on an idle connection. Sequence numbers have a generation,
// so the late reply to a call that timed out is dropped and never taken for
// another's.
//
// Where large packets vanish, a connection stands until the first large
// message stops it. After one has died of silence (ErrSilent) [Client.Check]
// asks by full packets, on a connection of its own, and new connections use
// small segments until they have passed. Plain servers are asked so after a call
// that timed out. [Client.Path] measures what passes.
//
// Endpoints of plain Thrift servers (Endpoint.Protocol) get one connection for
// each call at a time. It is kept for the next call, unless the call timed
// out, was given up or failed to decode: then it is closed.
//
// # Serving
//
// The first bytes of a connection tell how its client speaks: THeader frames,
// or framed or unframed binary (strict) or compact. Replies go out as they are
// ready to clients that set THeader's out-of-order flag; other clients are
// served one call at a time, in order. A plain client names the service by
// Thrift's multiplexed protocol ("auth:getToken"); when it does not, it gets
// the service that alone has the method, or the only one there is.
//
// A handler that has been quick so far is run by the goroutine that reads its
// connection, any other in a worker. When it takes long all the same, another
// goroutine reads on within 2 ms (6 ms when calls had come one by one until
// then), and calls of its kind go to the workers for a while: a slow one holds
// up nobody else.
//
// The handler's context has the call's deadline and what [CallInfoFrom]
// returns; calls made with it carry trace, baggage and deadline on. A panic is
// answered as
// HandlerPanicked and logged; the server goes on. To end politely call Leave
// (clients go elsewhere, everything is still served), and after the grace
// period Drain (the port is closed, new calls are refused as not executed,
// running ones end, and clients are told that nothing else was executed).
// Restarts so fail no call of skerry clients.
//
// One-way calls of skerry clients return when the server has accepted them,
// not when the handler is done; a refusal is an error. To and from plain peers
// they are sent and forgotten.
//
// Importing this package sets thrift.ServerConnectivityCheckInterval to 0:
// generated processors need not
// poll for broken connections here. A program that also runs a stock Thrift
// server and wants its polling sets it again in main.
//
// # Programs of other languages
//
// A server with HandleUnknown serves every service by one [RawHandler], which
// gets arguments as they stand in the message ([Raw]) and passes them on; package
// proxy is one. The message's name may have a context in front of it
// ("ctx=CONTEXT;auth:verify"), and skerry.login may be the first call of a
// connection. Replies bear the bare name of the method and the caller's sequence
// number. Such servers listen on Unix sockets, too; [Server.Handover] gives one to
// another process without a lost call.
//
// # Processes of the site
//
// With ServerConfig.Site a port also takes site connections: TLS 1.3 with
// certificates that both processes make from the site's key (package
// internal/sitetls). It knows them by their first bytes, or by ALPN where the
// port speaks TLS with users. Services of HandleInternal are for members:
// processes that have come by a site connection, or that ServerConfig.Member
// takes for members. Others are refused as NotMember before the arguments are
// read. On plain connections both sides prove a key of the site without
// another round trip (Identity); that marks the connection as a member's in
// CallInfo.From, in statistics and in releases, and opens nothing.
// ServerConfig.Clear refuses users' calls that are not encrypted.
//
// # Releases
//
// With ClientConfig.Rollout and ServerConfig.Rollout every call belongs to a
// trace (package rollout) and carries its token. The caller asks the rules at
// the token's generation for the version and picks only among its instances;
// the callee checks the same before any of its code runs. Whoever lacks rules
// is told them by the other side, on the same connection, and the call is made
// again; a root whose first calls are refused as Retired takes a fresh token,
// once. A token names its log, too: where the logs of two processes have parted,
// calls between them fail as RulesForked. None of that is seen by the program, and none of it counts as a retry.
// What can't be mended fails as RulesNeeded, Retired, WrongVersion or
// VersionUnavailable, always NotExecuted, and never goes to another version.
//
// Traces begin at the methods that ServerConfig.Entry names, at jobs
// (participant.Agent.Begin), or arrive in W3C baggage (BaggageToken) when a request
// has passed HTTP. Where the process has only just started and asks for the
// site's rules, calls that begin a trace, and calls to it, wait for the answer
// (participant.Agent.Await). Any other call without a token is an orphan: counted, or
// refused with RefuseOrphans. Plain Thrift servers get no token; the caller
// picks their version all the same.
//
// A call that may yet be executed when its caller has given up keeps the
// caller's span counted until its deadline, and a one-way call until the
// server, which counts first, has accepted it.
//
// # Metadata
//
// Info headers of a request:
//
//	traceparent  W3C trace context; a call without one begins a trace
//	tracestate   passed through
//	baggage      W3C baggage, passed through
//	sk-s         service; its presence also marks a skerry client
//	sk-d         remaining time, milliseconds
//	sk-c         the calling service
//	sk-a         attempt, when it is not the first of the whole chain
//	sk-t         rollout token, raw (rollout.Token.AppendRaw)
//	sk-u         1: the token is of the empty log, and nothing was executed by it yet
//
// of a reply (generated clients have them as LastResponseMeta_().Headers, a map
// that many calls share and nobody may change):
//
//	sk-v         version that served the call
//	sk-i         instance that served it
//	sk-e         Code.String, when there is no reply of the handler's own
//	sk-x         with sk-e: 0 not executed, 1 executed; absent: unknown
//	sk-g         generation of the rules that the server has applied, with the codes about rules
//	sk-gh        hash of that generation's entry, which names the log
//
// and of control frames, which have no payload and pass between skerry peers
// only:
//
//	sk-k         ping, pong, hello (the client's proof, before its first call), cancel,
//	             goaway (Leave; LeaveService with sk-s), bye (the end of Drain)
//	sk-n         the sequence number that a cancel means
//	sk-p         in ping and pong: padding; the answer has as much
//	sk-h         in ping, pong and hello: nonce, process, cluster, proof, then services with versions
//
// To a plain Thrift client the framework's errors are TApplicationExceptions
// whose text begins with the code.
//
// # Limits
//
// What a peer announces is checked before memory is taken for it: frames
// (16 MiB), header blocks (16 KiB), and sizes within messages by the bytes
// that are there. What breaks the format closes the connection; the reason is
// logged, once a second at most, and counted in ServerStats.
//
// A silent connection may stay while there is room. From three quarters of
// MaxConns (20,000) on, a new one takes the place of the oldest that has not
// completed a message, of the address that has most of those. When all places
// are taken it takes that of a resting connection of an address that has twice
// as many, or is closed with its first message. Handshakes of TLS do not count:
// there may be half as many of them, 4 for each core compute at a time, and the
// addresses take turns. A message that has begun must go on: 10 s for the next
// byte of its head, 30 s for any other.
//
// What decoding takes is counted before it is taken, by the types of generated
// code: 8 times the largest frame for one message, requests and replies alike,
// and Sizes.Requests for all requests that run and for all replies that are
// read. What is over it is refused as TooLarge or Overloaded, and has not been
// executed. A compressed payload counts piece by piece while it is inflated;
// the framework's own services ("skerry.…") take none. Their strings are copies;
// all other strings that were decoded keep their message while they are kept.
//
// Methods are counted by the processor's own names. A caller's name (sk-c) is 1
// to 63 letters, digits, dots, dashes and underscores, or "?". It is a claim:
// while they are connected, callers at one address are counted by 64 names,
// all addresses by 1,024, besides those of listed services; others as "?".
//
// Calls above MaxCalls (10,000; the last sixteenth is kept for connections that
// have none running) or MaxConnCalls (2,000) are refused as Overloaded, and those of more than 64 KiB while such calls hold
// Sizes.Requests (512 MiB) already. A large message takes at most 32 times the
// memory of what has come of it, and what is being received counts as well: at
// twice the limit its connection is closed.
//
// A server reads no more from a client that does not read its replies when
// 256 KiB wait for it, or anything at all while Sizes.Replies (256 MiB) wait
// for all, and cuts it off when nothing gets through for 10 s. So ten thousand
// callers that never read hold 256 MiB and some 128 KiB for each of them.
//
// A silent connection holds no buffer, on either side: about 10 KiB with its
// goroutine, whatever it has done before. One that has stopped within a small
// message holds 4 KiB more, for at most 30 s. TLS adds the buffers of crypto/tls.
//
// # Waiting
//
// A connection's reader sleeps while nothing comes. Where something mostly comes
// at once, as when one caller makes call after call, it looks again for up to
// 80 µs before (Linux, without TLS): to sleep and be woken takes two threads longer than that, and more
// processor time. It does so only while that helps, one reader of a process at a
// time, never with a single processor, and lets whoever else can run go first.
//
// Calls that are made together leave together, and so do their replies: those of
// up to 32 callers by fours, so that the other side works on the first while
// this one still makes the last; more are gathered to 32 KiB.
//
// # Concurrency and lifetime
//
// Client and Server are safe for concurrent use. Server.Serve blocks and joins
// what it started. A Client starts goroutines only with its first connection;
// Close joins them.
//
// # Tests
//
// Stock Go clients and servers of every protocol are the other end, on real
// TCP; whatever depends on time runs on memory connections in virtual time;
// the server's connections are fuzzed.
package rpc
