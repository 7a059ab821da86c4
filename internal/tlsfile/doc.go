// Package tlsfile reads certificates, keys and authorities from files, and
// reads them again when they have changed.
//
// A [Reader] holds what it has read last. [Reader.Run] looks at the files every
// two seconds, by size and time, and reads all of them together when one has
// changed: a certificate never meets the key of another. While the files make no
// valid pair, as between the writing of two of them, the last good ones are
// used, which is logged once. Configurations of [Reader.Server] and
// [Reader.Client] take what is there when a handshake begins; connections that
// stand are left alone.
//
// Reading waits for the disk in a goroutine of its own: a disk that hangs holds
// up neither handshakes nor the end of Run. An end of the certificate that is
// near is logged at the start, after each renewal, and once a day.
package tlsfile
