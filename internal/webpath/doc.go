// Package webpath reads the paths and hosts of HTTP requests and of a gateway's routes.
//
// # Model
//
// [Read] gives a path in two readings: as this program matches it, and as a service may that decodes
// more than once. [OfRoute] and [HostName] give the path and the host of a route in the same form.
//
// # Guarantees
//
// No path passes that leads upwards in any reading, and none with control characters. What is
// matched is what is sent.
//
// # Concurrency
//
// All functions are pure.
//
// # Tests
//
// Tables of attacks, and a fuzz test that decodes each path that passes until nothing changes.
package webpath
