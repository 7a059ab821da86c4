// Package registry is the vocabulary of the service registry: what an
// instance is, what a list of instances is, and what a place that keeps such
// lists must do.
//
// # Model
//
// A process is an [Owner]. What it offers are [Instance] values, one for each
// service at each address. A [Registry] lists instances for one cluster: it
// keeps what its owner registered listed for as long as the process lives,
// and shows [Snapshot]s of the lists to watchers. There are three: [Memory]
// in this package (the reference), registry/postgres (tables in a
// database that the site already runs) and broadcast (the LAN itself). All
// pass the suite in registry/registrytest.
//
// # Guarantees
//
//   - Registered is a wish, not an event: once Register has been called the
//     registry puts the instance back whenever it finds it missing, with
//     endless retry and jitter, until Deregister or the end of Run.
//   - A watcher is shown the current list at once, then every later list.
//     Lists may be skipped when they change faster than the watcher reads;
//     the newest is never skipped.
//   - An instance that left by itself is named in Snapshot.Gone, so that a
//     reader which unites several registries can tell "left" from "not heard
//     of".
//   - Losing the registry empties no list: watchers keep what they have and
//     see Snapshot.Lost.
//
// # Building a registry
//
// Two parts are the same in every registry and are kept here. A [Registrar]
// holds what the owner wishes for and carries it out against a [Writer], for
// ever. A [Publisher] shows lists to watchers. What remains is the registry's own:
// how to write, how to read, when something has gone.
//
// # Testing a consumer
//
// Several [Memory] values on one [MemoryStore] are several processes at one registry.
// MemoryStore.Fail is an outage of the registry, Memory.Fail cuts one process off, and
// a Memory that fails while its Run ends was killed. All their timing runs in
// the virtual time of testing/synctest.
//
// # Time
//
// No time in this package is compared between two machines. An instance's
// Started is the reader's own clock minus the age that the registry measured
// with one clock (the database's, or the provider's own).
package registry
