// Package registry plays a site's processes at skerry's registry in a real
// PostgreSQL, and the same site at the design that one would write first
// (every client reads the whole table every 30 s), at etcd and at ZooKeeper, all
// at the same time on one machine: what they cost at rest, and how long a
// change takes until every consumer has it.
//
// # What is real and what is played
//
// Every server is the real one, a process of its own with its data on disk. A
// process of the site is skerry's own code of everything that a node has to do
// with the registry, registry/postgres and discovery: own connections, own
// lease, own lists. All of them share one operating system process here, its
// scheduler and its collector; so do the clients of the others. No client listens
// at the instances' ports. Time runs at real pace, but for the tables' growth,
// where heartbeats and autovacuum come faster by a factor that is printed, from
// processes that do nothing else. What a consumer of 10,000 instances pays is
// measured in this process, without a server.
//
// A process offers its part of the instances, ten where there are enough, and
// a consumer uses ten services of about ten instances each, and one more in
// which the changes take place.
package registry
