// Package discovery is the consumer's view of the site: who offers a
// service, which of them are well, and which one gets the next call. It
// implements rpc.Resolver, rpc.Picker and rpc.Watcher.
//
// # Model
//
// A [Discovery] unites several registries, its sources. The first call of a
// service subscribes it at every source. Each service keeps its members in a
// go-cache with their expiry, and publishes an immutable view behind one
// atomic pointer; a pick reads the view, takes no lock and allocates nothing.
// There is no second cache behind this one.
//
// # Who is listed
//
//   - An instance is listed while any source lists it and none says that it
//     was Deregistered or fell Silent. Such a departure leaves a tombstone, so
//     that a source that lags can't bring the instance back; a source that
//     lists it anew after the departure does, and so does an answer to our own
//     question when a source says Silent and another one still lists it.
//   - A source that is lost removes nothing.
//   - Members that vanish otherwise (Expired, or without a word) are dropped,
//     unless they are sharply many: more than half of what was listed within
//     a minute, of the service or of their version, so all of one, both of
//     two, two of three. Then each is asked
//     (Config.Probe). Who answers is kept as protected: asked again every
//     30 s, dropped when it no longer answers, when a source says that it
//     left, or after Config.Protect while a source that can vouch for its list
//     goes on without it. Who does not answer three times is dropped.
//   - The last known list is kept in Config.StateFile and is a source named
//     "disk" after a cold start. Its members are marked stale until a live
//     source confirms them; what a live source does not confirm goes the way
//     of members that vanish. A source that hears what it hears (a LAN) is
//     given Config.Settle first, and its silence is no proof: they are asked.
//
// # Who gets the call
//
// Members are put in tiers; a pick comes from the first tier that has any:
// well in the own zone (with Options.ZoneFirst), well, suspect, ejected,
// leaving (as a registry or the server itself has said). So the last instance is
// never taken away. A call with rpc.Call.Wait waits for the next instance when
// there is none, or it has tried all: 1,000 calls of a service at a time, each
// until its context ends; every new view wakes them. Within the tier:
//
//   - [TwoChoices] (default): two drawn by weight, the one with fewer calls in
//     flight for its weight.
//   - [RoundRobin]: a smooth cycle in which each member stands as often as
//     its weight says.
//   - [Hash]: a ring by rpc.WithHashKey; a member that comes or goes moves its
//     own share of the keys only. All consumers agree on the ring. A call
//     without a key falls back to TwoChoices.
//
// A provider younger than Config.WarmUp, by its own start, gets a fifth of
// its weight, rising to all of it (the ring does not move for that).
//
// # Who is well
//
//   - A broken connection makes a member suspect at once; it is asked at
//     once, then with a growing pause, and is back as soon as it answers. A
//     failed dial does the same; three in a row eject it for Config.Eject, or
//     until it answers.
//   - A connection that has died of silence, and a question without an answer,
//     are ended by an answered question only: small packets may pass where large
//     ones vanish. The pause between questions grows to 5 s.
//   - A call that timed out asks the member; when it does not answer, or with
//     the third time-out in a row, it is suspect. Any reply clears the count.
//   - A server that says it is leaving gets no new call while there is any
//     other member. If it is still listed a minute later it is asked.
//   - Refusals, declared exceptions and failing handlers change nothing.
//
// Registries with a method Suspect are told of suspects. Every
// decision and its reason is in [Discovery.Explain], and in the feed of
// [Discovery.Subscribe].
//
// # Time and tests
//
// Unions, conditions, balancers and the protection rule are plain functions
// of their arguments and the time; Run's one loop feeds them. Tests run in
// virtual time.
package discovery
