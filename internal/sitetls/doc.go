// Package sitetls makes and checks the TLS of a site connection, by which the
// processes of one site speak to each other.
//
// Each key of the site's ring gives a root: the Ed25519 key whose seed it is.
// Each process makes an Ed25519 key when it starts, and a certificate for it
// that the first root of the ring signs. The certificate names the process in
// its only URI, skerry://CLUSTER/HOST/PID/EPOCH, and is valid from 1970 to
// 9999. It is signed anew when another key becomes the first of the ring.
//
// A handshake is TLS 1.3 with X25519 and the protocol "skerry-site/1" (ALPN),
// a certificate on both sides, and no session tickets. Accepted is exactly one
// certificate of at most 2 KiB that a root of the ring has signed for this
// cluster. A client also checks that the certificate names the process that it
// means, and both refuse a certificate of their own process. So a
// handshake can't be relayed to another process or sent back, and a port that
// another process has taken over is noticed. No clock is read.
//
// # Failure
//
// Without a key every handshake fails with ErrNoKey. A change of the ring
// counts from the next handshake on. The owner of a connection watches Ring,
// and ends the connection when Verify no longer accepts its other side.
//
// # Concurrency
//
// A Site and the configurations that it gives are safe for concurrent use. No
// goroutine runs.
package sitetls
