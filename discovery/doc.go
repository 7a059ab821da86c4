// Package discovery is the consumer's view of the site: which instances offer a service, which of them are well,
// and which one gets the next call. It implements rpc.Resolver, rpc.Picker and rpc.Watcher.
//
// # Model
//
// A [Discovery] unites several registries, its sources. The first call of a service subscribes it at every
// source. Each service keeps its members in a go-cache with their expiry, and publishes an immutable view behind
// one atomic pointer. There is no second cache behind this one.
//
// Members are put in tiers; a pick comes from the first tier that has any: well in the own zone (with
// Options.ZoneFirst), well, suspect, ejected, leaving (as a registry or the server itself has said). The last
// instance therefore stays callable. A call with rpc.Call.Wait waits for the next instance when there is none, or
// when it has tried all: 1,000 calls of a service at a time, each until its context ends. Every new view wakes
// them. Within the tier:
//
//   - p2c (default): two drawn by weight, the one with fewer calls in flight for its weight.
//   - round-robin: a smooth cycle in which each member stands as often as its weight says.
//   - hash: a ring by rpc.WithHashKey; a member that comes or goes moves its own share of the keys only. All
//     consumers agree on the ring. A call without a key falls back to p2c.
//
// A provider younger than Config.WarmUp, by its own start, gets a fifth of its weight, rising to all of it (the
// ring does not move for that).
//
// # Guarantees
//
//   - An instance is listed while any source lists it and none says that it was Deregistered or fell Silent. Such
//     a departure leaves a tombstone, so that a late source cannot bring the instance back. A source that lists
//     it anew after the departure does. An answered probe also does, when a source says Silent and another one
//     still lists it.
//   - A source that is lost removes nothing.
//   - Members that vanish otherwise (Expired, or without a word) are dropped, unless they are sharply many: more
//     than half of what was listed within a minute, of the service or of their version, so all of one, both of
//     two, two of three. Then each is probed (Config.Probe). A member that answers is protected: it is probed
//     again every 30 s. It is dropped when it no longer answers, when a source says that it left, or after
//     Config.Protect while a source that can vouch for its list goes on without it. A member that does not answer
//     three times is dropped.
//   - The last known list is kept in Config.StateFile and is a source named "disk" after a cold start. Its
//     members are stale until a live source confirms them; unconfirmed members count as vanished. A source that
//     only listens (a LAN) first gets Config.Settle. Its silence proves nothing, so the members are probed.
//
// # Concurrency
//
// A pick reads the view, takes no lock and allocates nothing. One goroutine of Run applies changes to the views;
// probes run beside it.
//
// # Failure
//
//   - A broken connection makes a member suspect. It is probed at once, then with a growing pause, and is well
//     again as soon as it answers. A failed dial has the same effect; three in a row eject the member for
//     Config.Eject, or until it answers.
//   - Only an answered probe ends a suspicion after a connection that has died of silence, or after an unanswered
//     probe: small packets may pass where large ones vanish. The pause between probes grows to 5 s.
//   - A call that timed out causes a probe. The member is suspect when it does not answer, or with the third
//     time-out in a row. Any reply clears the count.
//   - A server that says it is leaving gets no new call while there is any other member. It is probed if it is
//     still listed a minute later.
//   - Refusals, declared exceptions and failing handlers change nothing.
//
// Registries with a method Suspect are told of suspects. Every decision and its reason is in [Discovery.Explain],
// and in the feed of [Discovery.Subscribe].
//
// # Tests
//
// Unions, conditions, balancers and the protection rule are plain functions of their arguments and the time;
// Run's one loop feeds them. Tests run in virtual time.
package discovery
