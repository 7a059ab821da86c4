// Package listing is what a process offers, as it travels between processes: the
// Thrift form of an instance, and the hash of a list of instances.
//
// # Model
//
// A process announces its list by LAN packets. A list that does not fit into one
// is named by its hash, and fetched from the process by the internal service.
// Both sides use this package, so that one instance has one form.
//
// # Guarantees
//
//   - Encode and Decode keep everything that an instance says of itself. The start
//     of the provider travels as an age, so that no clock of another host is
//     trusted (TestRoundTrip).
//   - The hash is a cut SHA-256. A list that was fetched over a connection that is
//     not authenticated is compared with the hash of an authentic packet
//     (TestHash).
//
// # Concurrency
//
// All functions are pure.
//
// # Failure
//
// Decode refuses what no registry takes; its error wraps registry.ErrInvalid.
package listing
