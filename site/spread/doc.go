// Package spread lets the agents of a site talk to one another: plans and artifacts go from host to host, and commands
// and the console see all hosts and bring plans to them.
//
// # Model
//
// Each agent offers the service skerry.agent through a node. [Run] is that part of an agent: it serves the state of its
// host, its plans and its blobs, takes newer plans from its neighbours and passes them on, and fetches the artifacts
// that the plan names for its host. [Site] is the other end, for commands and the console: it finds the agents by the
// registry and calls each one on its own.
//
// # Guarantees
//
// A caller proves that it is a process of the site, by a site connection, before its arguments are read. That gives it
// the right to look, and none over what runs: an agent obeys a plan for its signature, cluster and number alone
// (package agent), and takes a blob for its digest alone, after a trusted builder has signed the manifest that names it
// (package artifact).
//
// Nothing here delays the local work of an agent. Without network or database the node waits, and instances go on.
//
// # Spreading of blobs
//
// A blob is asked for by its digest, in pieces of 4 MiB. A host serves pieces as soon as it has them. It prefers
// neighbours of its own zone, and pieces that few hosts have, so that hosts that fetch at the same time serve each
// other and one copy is read about once. A piece with other content than its digest says costs the neighbour that sent
// it its place for a while, and comes from another one. Each host fetches 2 blobs and serves 4 pieces at a time.
//
// # Failure
//
// A neighbour that does not answer is left out for a while. What no neighbour has is asked for again every few seconds,
// and status says so. After a restart a fetch goes on with the pieces that are on the disk.
//
// # Tests
//
// Picking of pieces and neighbours is pure and played in virtual time; agents meet on the loopback interface and in
// network namespaces; hostile agents answer with all that is wrong.
package spread
