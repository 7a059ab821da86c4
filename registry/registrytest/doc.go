// Package registrytest is the conformance suite of the registry.Registry interface. Every registry passes it:
// registrytest.Memory, which is the reference, registry/postgres and broadcast.
//
// A test describes in a [Harness] how to make registries of one cluster, and calls [Run]. The bounds of the
// harness leave room for registries with latency. A hook without an equivalent in a registry stays nil; the cases
// that need it are then left out of the list, not skipped.
//
// A harness with Bubble set runs each case in virtual time.
package registrytest
