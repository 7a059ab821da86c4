// Package listing is the form in which a process's instances travel between processes: the Thrift form of an
// instance, and the hash of a list of instances.
//
// # Model
//
// A process announces its list by LAN packets. If a list does not fit into a packet, the packet names it by its
// hash, and peers fetch it from the process by the internal service. Both sides use this package, so that one
// instance has one form.
//
// # Guarantees
//
//   - Encode and Decode keep all data of an instance. The start of the provider travels as an age, so that no
//     clock of another host is trusted (TestRoundTrip).
//   - The hash is a shortened SHA-256. A list that was fetched over a connection without authentication is
//     compared with the hash of an authentic packet (TestHash).
//
// # Concurrency
//
// All functions are pure.
//
// # Failure
//
// Decode refuses an instance that no registry accepts; its error wraps registry.ErrInvalid.
package listing
