// Package registry is the vocabulary of the service registry: an instance, a list of instances, and the interface
// of a registry that keeps such lists.
//
// # Model
//
// A process is an [Owner]. It offers [Instance] values, one for each service at each address. A [Registry] lists
// instances for one cluster: it keeps the registrations of its owner listed while the process lives, and shows
// [Snapshot]s of the lists to watchers. There are three: registrytest.Memory (the reference), registry/postgres
// (tables in a database that the site already runs) and broadcast (the LAN itself). internal/registrar holds the
// parts that they have in common.
//
// # Guarantees
//
//   - A registration is a wish, not an event. Once Register has been called, the registry puts the instance back
//     whenever it finds it missing, with endless retry and jitter, until Deregister or the end of Run.
//   - A watcher gets the current list at once, then every later list. Lists may be skipped when they change
//     faster than the watcher reads; the newest is never skipped.
//   - Snapshot.Gone names an instance that left by itself, so that a reader of several registries can tell "left"
//     from "not heard of".
//   - Losing the registry empties no list: watchers keep their lists and see Snapshot.Lost.
//
// No time in this package is compared between two machines. An instance's Started is the reader's own clock minus
// the age that the registry measured with one clock (the database's, or the provider's own).
//
// # Tests
//
// All registries pass the suite in registry/registrytest.
//
// Several Memory values on one MemoryStore are several processes at one registry. MemoryStore.Fail is an outage
// of the registry, Memory.Fail cuts one process off, and a Memory that fails while its Run ends was killed. All
// their timing runs in the virtual time of testing/synctest.
package registry
