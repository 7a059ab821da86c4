// Package gateway is where users' requests come into a site: it starts their
// traces, decides once which versions each of them meets, and brings them to
// the HTTP and Thrift services behind it.
//
// # Three ways in
//
//   - [Gateway] is an http.Handler in front of services of the registry, and
//     what `skerry gateway` runs. A [Route] leads to HTTP services (instances of
//     protocol "http") or, with a .thrift file, to Thrift services: POST
//     path/Method with a JSON object of the arguments.
//   - [Trace] is the same edge as a middleware, for a Go service that faces
//     users itself.
//   - [Join] is for a Go service behind the gateway: it continues the trace that
//     a request brings, after asking the rules whether its version may.
//
// # What happens to a request
//
//  1. Admission. The path is refused where a service could read it as one
//     outside of its route; else it is sent as it was matched. A body of at most
//     64 KiB is read now: until it is complete there is nothing to trace.
//  2. Trace. A valid W3C traceparent is continued, else B3 headers, else a new
//     one is made. Baggage members named skerry-… are dropped: nobody outside
//     chooses versions.
//  3. Token. The newest rules are read once. The seed that decides on shares is
//     the hash of the sticky cookie or header (Config.StickyCookie,
//     StickyHeader), else of the trace id. The cookie [PreviewCookie] is a
//     verifier's: its value is obeyed while it is the mark of the release that
//     is open, and means nothing otherwise.
//  4. Instance. Only instances of the version that the rules name for this
//     token are asked. Without one the answer is 503 and says so; never does
//     another version answer. A request waits for the next instance, up to
//     Route.Timeout and what the configuration says of the service's calls
//     (consumers.NAME.wait), with nothing of a large body read. It waits no
//     longer when its client has closed the connection's sending side. Where a
//     service switches by the strategy blocking or waiting, the request waits
//     for the version in the same way, up to Route.Timeout.
//  5. Upstream. The request goes on with traceparent, and the token in baggage.
//     Bodies stream in both directions; of the upgrades only WebSockets pass.
//  6. End. The trace is over, and no longer holds back a release, when the
//     response has been sent or the WebSocket has closed. Where the upstream
//     may still be at work, because the client left or the connection broke, it
//     is held for another Route.Timeout.
//
// # What is tried again
//
// Up to [Config].Retries times, at another instance of the same version, with
// the same token: requests that were certainly not executed (no connection, or
// refused by [Join]) while their body is at hand, which it is up to 64 KiB or
// as long as nobody has read it; and GET, HEAD, OPTIONS and TRACE without a
// body whose connection broke before the response. Attempts that found an
// instance gone are not counted. A time-out is never tried
// again. Large bodies and upgrades go by connections of their own, so that no
// connection kept for too long can break them.
//
// # Clients that leave
//
// Within 5 s of its request a client may close its sending side and gets the
// answer all the same, where Serve serves by HTTP/1.1 without TLS. The work for
// a client is cancelled when it closes later, resets its connection, or takes
// nothing of the response. An answer to a request whose body has not come is
// sent at once; Serve then drops what the client still sends, within limits,
// so that it reads the answer.
//
// # Limits
//
// Upstreams are spoken to in HTTP/1.1; WebSockets of users must come by
// HTTP/1.1, too. Route.Timeout ends the wait for the response's headers after
// the request has been sent; bodies and upgraded connections may last.
// A body must come on (Config.BodyIdle), a client take its response, a
// WebSocket speak now and then (WebSocketIdle). Connections are limited under
// pressure (MaxConnections). Where a request came from is said by the gateway,
// and by proxies in front that Config.TrustedProxies names. Answers of the
// gateway's own name no instance and no version; they have an id, by which the
// log says more. A request that comes in the first moments of the
// process waits until the site's rules are known, for 2 s at most; Config.Health
// says when that is. Where nobody could be asked it goes on with the rules of
// the last run; services that use Join refuse what is wrong then, others can't.
// A service behind the gateway must not be reachable by users on another way:
// it believes the token that it is sent.
//
// # Tests
//
// Real HTTP servers of two versions on a loopback site, under load while the
// rules change; slow clients, crowds and raw bytes in virtual time; header
// rules by tables; paths by fuzzing. A real browser's cookies, fetches
// and WebSockets are a test of their own, since it has to be installed:
// go test -tags browser -run TestBrowser ./gateway
package gateway
