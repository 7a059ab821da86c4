// Package tlsfile reads certificates, keys and authorities from files, and reads them again after changes.
//
// # Model
//
// A [Reader] holds the last good content of its files. [Reader.Run] checks the files every two seconds, by size
// and time, and reads all of them together when one has changed, so that a certificate never meets another one's
// key. Configurations of [Reader.Server] and [Reader.Client] use the content at the begin of a handshake. Open
// connections stay unchanged.
//
// # Failure
//
// While the files form no valid pair, as between the writing of two of them, the last good ones are used. The log
// says so once. A separate goroutine waits for the disk: a disk that hangs delays neither handshakes nor the end
// of Run. The log reports a certificate that ends soon at the start, after each renewal, and once a day.
package tlsfile
