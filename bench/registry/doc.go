// Package registry plays a site's processes at skerry's registry in a real
// PostgreSQL, and the same site at the design that one would write first
// (everybody reads the whole table every 30 s), at etcd and at ZooKeeper, all
// at the same time on one machine: what they cost at rest, and how long a
// change takes until every consumer has it.
//
// # What is real and what is played
//
// Every server is the real one, a process of its own with its data on disk.
// skerry's processes are nodes as skerry.Open makes them: own connections, own
// lease, own lists, all code paths. They share one operating system process
// here, its scheduler and its memory; so do the clients of the others. Time
// runs at real pace, but for the table's growth (hours), where heartbeats,
// expiry and autovacuum come faster by a factor that is printed.
//
// The instances are listed, but nobody listens at their ports: only the
// registry is measured. A process offers its part of the instances, ten where there are enough, and
// a consumer uses ten services of about ten instances each, and one more in
// which the changes take place.
package registry
