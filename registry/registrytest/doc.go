// Package registrytest is the conformance suite of the registry.Registry
// interface. Every registry passes it: registrytest.Memory, which is the
// reference, registry/postgres and broadcast.
//
// A test describes how to make registries of one cluster in a [Harness] and
// calls [Run]. The bounds of the harness make room for registries with
// latency; hooks that a registry has no equivalent for stay nil, and the cases
// that need them are then left out of the list, not skipped.
//
// A harness with Bubble set runs each case in virtual time.
package registrytest
