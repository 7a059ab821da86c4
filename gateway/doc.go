// Package gateway is the entry of users' requests into a site. It starts their traces, decides once which
// versions each trace meets, and forwards the requests to HTTP and Thrift services.
//
// # Model
//
//   - [Gateway] is an http.Handler in front of services of the registry; `skerry gateway` runs it. A
//     [config.Route] maps a path to HTTP services (instances of protocol "http") or, with a .thrift file, to
//     Thrift services: POST path/Method with a JSON object of the arguments.
//     A method that is a stream is served as Server-Sent Events, lines of JSON or a WebSocket; see docs/streams.md.
//   - [Trace] is the same entry as a middleware, for a Go service that faces users itself.
//   - [Join] is for a Go service behind the gateway. It continues the trace of a request after the rules have
//     admitted the version of the service.
//
// A request passes these steps:
//
//  1. Admission. The gateway refuses a path that a service could read as a path outside of its route, and sends
//     any other path as it was matched. It reads a body of at most 64 KiB now: until the body is complete there
//     is nothing to trace.
//  2. Trace. The gateway continues a valid W3C traceparent, else B3 headers, else it starts a new trace. It drops
//     baggage members named skerry-…, so that no client chooses versions.
//  3. Token. The gateway reads the newest rules once. The seed for shares is the hash of the sticky cookie or
//     header (Config.StickyCookie, StickyHeader), else of the trace id. The cookie [PreviewCookie] is for a
//     verifier: its value counts while it is the mark of the open release, and means nothing otherwise.
//  4. Policy. At an HTTP service the gateway obeys access (403) and limits (429) of the site's policy, because the
//     service obeys none. The caller is the user: the name in a client certificate that TLS has verified, else the
//     address. Thrift services obey them themselves, with the gateway as the caller.
//  5. Instance. The gateway asks only instances of the version that the rules name for this token. Without one it
//     answers 503; another version never answers. A request waits for the next instance, up to Route.Timeout and
//     the wait of the service's calls (consumers.NAME.wait), with nothing of a large body read. The wait ends
//     when the client closes the connection's sending side. Where a service switches by the strategy blocking or
//     waiting, the request waits for the version in the same way, up to Route.Timeout.
//  6. Upstream. The request goes on with traceparent, and with the token in baggage. Bodies stream in both
//     directions. WebSockets are the only upgrades that pass.
//  7. End. The trace ends, and no longer holds back a release, when the response has been sent or the WebSocket
//     has closed. The upstream may still be at work if the client left or the connection broke. The trace is
//     then held for another Route.Timeout.
//
// # Guarantees
//
// One trace meets one version of each service. Answers of the gateway itself name no instance and no version;
// they have an id, under which the log says more. The gateway states the origin of a request; it believes proxies
// in front only where Config.TrustedProxies names them. Users must not reach a service behind the gateway in
// another way, because the service believes the token that it is sent.
//
// Upstreams are spoken to in HTTP/1.1; WebSockets of users must also come by HTTP/1.1. Route.Timeout limits the
// wait for the response's headers after the request has been sent; bodies and upgraded connections may last. A
// body must make progress (Config.BodyIdle), a client read its response, a WebSocket speak now and then
// (WebSocketIdle). Connections are limited under pressure (MaxConnections).
//
// # Failure
//
// The gateway tries a request again up to [Config].Retries times, at another instance of the same version, with
// the same token. It does so for requests that were certainly not executed (no connection, or refused by [Join])
// while their body is at hand: up to 64 KiB, or a larger body that is still unread. It also does so for GET,
// HEAD, OPTIONS and TRACE without a body when the connection broke before the response. Attempts that found an
// instance gone are not counted. A time-out is never tried again. Large bodies and upgrades use connections of
// their own, so that no connection kept for too long can break them.
//
// A client may close its sending side within 5 s of its request and still gets the answer, where Serve serves by
// HTTP/1.1 without TLS. The gateway cancels the work for a client that closes later, resets its connection, or
// reads nothing of the response. It answers a request at once if the body has not come; Serve then drops the bytes
// that the client still sends, within limits, so that the client reads the answer.
//
// A request in the first moments of the process waits until the site's rules are known, for 2 s at most;
// Config.Health says when they are. If no process could be asked, the request goes on with the rules of the last
// run. Services that use Join then refuse a wrong version; other services cannot.
//
// # Tests
//
// Real HTTP servers of two versions on a loopback site, under load while the rules change; slow clients, crowds
// and raw bytes in virtual time; header rules by tables; paths by fuzzing. A test with a real browser covers
// cookies, fetches and WebSockets; the browser has to be installed: go test -tags browser -run TestBrowser
// ./gateway
package gateway
