// Package connlimit chooses which connection of an HTTP server closes when there are too many.
//
// # Model
//
// A connection is fresh until its user calls [Place.Answered], and then it waits or is in use. Limits act under
// pressure: below ¾ of the limit no connection closes. From there on each new connection costs the oldest fresh one
// that is older than a second, of the address that has most such. An address that only opens connections therefore
// loses its own. At the limit the connection goes that has waited longest for its next request; HTTP lets a server
// close it at any time. If there is none, the new connection goes.
//
// A limit for one address, if there is one, works in the same way among the connections of the address. For IPv6 an
// address is the network of 64 bits, as one host owns a whole network.
//
// # Concurrency and failure
//
// All methods may be called from any goroutine. The package closes nothing: Enter returns the connection that must go.
//
// # Tests
//
// connlimit_test.go plays floods on made-up connections in virtual time; package gateway and package console play them
// on real ones.
package connlimit
