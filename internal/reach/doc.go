// Package reach says from where an address can be reached.
//
// # Model
//
// An address such as 127.0.0.1 means something on its own host only ([HostOnly]); the instance
// behind it names that host in a tag ([HostTag]). A host in several networks has one address in
// each. An instance that listens at all of them names the others in a tag ([AlsoTag]), and
// [Address] picks the one in a network of the connecting host.
//
// # Concurrency
//
// All functions are pure.
//
// # Tests
//
// Tables of addresses, tags and networks.
package reach
