// Package lan puts skerry's LAN registry beside hashicorp/memberlist: the same
// hosts, the same losses, the same accidents.
//
// # What is real
//
// A host is a network namespace with its own interface at a bridge
// (internal/lab); this program runs on each of them, as a skerry node by
// skerry.Open that offers a service, watches it, and calls it ten times a
// second while accidents are measured, or as a member of memberlist with its
// settings for a LAN. Times are those that the processes note; all share one
// clock. What the machine needs to start 32 programs is kept apart: they are
// started first and then told to go, all at once.
//
// # What is measured
//
// The systems take turns within each round: the return of power until all know
// all, with the packets of the busiest host; kill -9 of one process until the
// last call to it was begun, and until it is off the last list; a cable pulled,
// likewise. At rest, and when a switch is lost for a while, the systems run
// side by side, each on a LAN of its own. Packets are counted at the bridge,
// where nothing of a host's own loopback passes.
//
// The calls are made without retries, so that every attempt shows.
package lan
