// Package sitetls makes and checks the TLS of a site connection, by which the processes of one site speak to each
// other.
//
// # Model
//
// Each key of the site's ring gives a root: an Ed25519 key with the site key as its seed. Each process makes an
// Ed25519 key when it starts, and a certificate for it that the first root of the ring signs. The certificate
// names the process in its only URI, skerry://CLUSTER/HOST/PID/EPOCH, and is valid from 1970 to 9999. It is
// signed anew when another key becomes the first of the ring.
//
// # Guarantees
//
// A handshake is TLS 1.3 with X25519 and the protocol "skerry-site/1" (ALPN), a certificate on both sides, and no
// session tickets. Each side accepts exactly one certificate of at most 2 KiB that a root of the ring has signed
// for this cluster. A client also checks that the certificate names the intended process, and both refuse a
// certificate of their own process. A handshake therefore can't be relayed to another process or sent back, and a
// client notices a port that another process has taken over. No clock is read.
//
// # Failure
//
// Without a key every handshake fails with ErrNoKey. A change of the ring counts from the next handshake on. The
// owner of a connection watches Ring, and ends the connection when Verify no longer accepts its other side.
//
// # Concurrency
//
// A Site and the configurations that it gives are safe for concurrent use. No goroutine runs.
package sitetls
