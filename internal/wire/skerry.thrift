/**
 * What skerry processes say to one another: the bodies of LAN packets and the
 * framework's own service on every port. Compact protocol in LAN packets, the
 * connection's protocol in calls.
 *
 * Rules of change: fields are only added, never renumbered or reused; every
 * new field is optional and its absence means what was meant before it.
 */
namespace go wire

/** A process: the host's own name, its process id, and its start. */
struct Owner {
  1: string host
  2: i32 pid
  3: i64 epoch              // microseconds since 1970 by the process's own clock; for equality only
}

/** One service at one address. Absent fields have the defaults of registry.Instance. */
struct Registration {
  1: string name              // the service
  2: optional string version
  3: string host
  4: i32 port
  5: optional string protocol
  6: optional string zone
  7: optional i32 weight
  8: optional map<string, string> tags
  9: optional bool tls
  10: optional i64 uptimeMs // age of the provider when this was sent, by its own clock
  11: optional bool leaving // it is stopping, and still executes what comes
}

/**
 * What a process offers. When everything fits in the packet, complete is set.
 * When not, registrations is all there is under the names in scope, and the
 * rest is fetched by Internal.describe at fetch, or asked for by name.
 */
struct Listing {
  1: optional list<Registration> registrations
  2: optional bool complete
  3: optional list<string> scope
  4: optional binary hash   // content hash of all registrations of the process
  5: optional string fetch  // host:port of the Internal service; an empty host is the packet's source
  6: optional list<string> names // services offered; absent when they did not fit either
  7: optional binary seal   // hash of the token that the process's last goodbye will show
}

/** Sent to all processes: what the sender offers. */
struct Announce {
  1: Listing listing
}

/** Asks which processes offer these services. Without names it asks for everything that the receivers offer. */
struct Query {
  1: i64 nonce
  2: optional list<string> services
  3: optional bool exchange // the answer names other processes as well, and the receiver remembers the sender
  4: optional bool parts    // answer in as many packets as it takes, each with its scope
  5: optional bool direct   // packets to all processes do not reach the sender: the answer goes to it alone
  6: optional binary pad    // zeros: an answer has at most three times the bytes of its question
}

/** Answers a query or a probe, and repeats its nonce. */
struct Answer {
  1: i64 nonce
  2: Listing listing
  3: optional list<string> peers // ip:port of other processes, when exchange was asked for
  4: optional list<i64> nonces   // of other processes that asked at the same time
  5: optional i64 ask            // a nonce that the processes which asked answer in turn
}

/** A registration that its owner has withdrawn. */
struct Left {
  1: string name              // the service
  2: optional string version
  3: string host
  4: i32 port
}

/** Withdraws registrations. When everything is set, the process is leaving. */
struct Goodbye {
  1: optional bool everything
  2: optional list<Left> left
  3: optional i64 nonce     // of the probe that this answers; absent: sent to all processes
  4: optional binary token  // with everything: proves that the process itself says so
}

/** Asks whether a process runs. It answers at once by an Answer, or by a Goodbye when it is leaving. */
struct Probe {
  1: i64 nonce
  2: optional list<string> services // to be named in the answer, where not everything fits
  3: optional binary pad    // as in Query
}

/**
 * Sent to all processes: the sender has asked this process, and it does not answer, or its host refuses. Receivers ask
 * it themselves.
 */
struct Alarm {
  1: Owner owner
}

/** The process that answers at a port. */
struct Identity {
  1: string cluster
  2: Owner owner
  3: string release         // release of skerry
  4: list<string> services
  5: i64 uptimeMs
  6: optional list<string> keys // fingerprints of the site's keys that it verifies by; the first one signs
  7: optional string policy // version of the form of policies that it reads; absent: it obeys none
  8: optional string caller // its name at callees; absent: its address
  9: optional bool gateway  // it takes in users' requests
}

/** All registrations of a process and their content hash. */
struct Description {
  1: Owner owner
  2: binary hash
  3: list<Registration> registrations
}

/** A process on the membership list of the site. */
struct Member {
  1: Owner owner
  2: string addr            // host:port of its Internal service
  3: optional bool tls
  4: optional string place  // boot and process namespace of its host; absent when unknown
  5: optional i64 silentMs  // since it was last listed; absent while it is
  6: optional string gone   // how it left the lists, and of a dead process which process says so
}

/**
 * Calls that belong to copies of calls, which the site's policy makes (mirror). They are in no other count.
 * Kinds are the failures, by health.Outcome, and denied: those that ended as they called what a copy may not.
 */
struct Copies {
  1: i64 calls
  2: i64 failures
  3: i64 slow
  4: optional map<string, i64> kinds
}

/** What a process has counted of the calls of one version of a service since its start. */
struct Served {
  1: string name             // the service
  2: optional string version
  3: i64 calls
  4: i64 failures           // as health.Outcome.Failed
  5: i64 slow               // calls that took longer than asked about
  6: optional string peer   // calls that it made, to the instance at this address; absent: calls that it served
  7: optional map<string, i64> kinds  // the failures, by health.Outcome
  8: optional Copies copies // absent: none
}

/** What a process has refused since its start, and the connections that it has now. */
struct Refusals {
  1: map<string, i64> kinds // how often, by kind; a kind that has not happened is absent
  2: i64 uptimeMs
  3: optional i64 connections // that stand
  4: optional i64 members     // of those, from processes of the site
  5: optional i64 handshakes  // whose TLS handshake is not over
  6: optional list<KeyHolder> otherKey // processes that use another key on the LAN, of the last minutes; at most 64
}

/** A process whose LAN packets of this cluster no key of the process that tells proves. Nothing of it is proved. */
struct KeyHolder {
  1: string host            // as its packets say
  2: string addr            // where they come from, an IP address
  3: i64 packets
  4: i64 ageMs              // since the newest
}

/** A part of the rule log, oldest entries first. */
struct Records {
  1: list<binary> records
  2: optional bool more     // there are newer ones: ask again after the last
}

/** The policy log of a process, and what it obeys of it. */
struct Policies {
  1: list<binary> records        // the entry that wins first, as many as fit
  2: i64 number                  // of the entry in force; 0: none
  3: optional string status      // sitepolicy.Status as JSON
  4: optional map<i64, i64> ageMs // for how long each item that expires has applied there, by policy.Ages
  5: optional bool more          // there are further ones: ask again with these among have
}

/** The rules could not be taken; nothing was applied beyond what applied says. */
exception RulesRefused {
  1: string code            // gap, fork, promised, unproven, needs, entry, foreign, database, invalid, disk
  2: string message
  3: string applied         // generation of the process
  4: string hash            // of its log
  5: optional list<string> also // further codes that hold, too
}

/** Calls of one caller to one method that the policy's access has refused, or would refuse if it were enforced. */
struct DeniedCall {
  1: string name            // the service
  2: string method
  3: string caller          // ip:ADDRESS for a client without a name
  4: string proof           // of its name: certificate, name (none, it says so) or address
  5: optional string item   // key of the item that refuses; absent: the default
  6: optional bool enforced // absent: the calls were executed
  7: i64 calls
  8: i64 firstMs            // age of the first one
  9: i64 lastMs             // age of the last one
}

/** What the policy's access has refused, or would refuse, since the start of a process; those with most calls first. */
struct DeniedCalls {
  1: list<DeniedCall> calls
  2: optional i64 others    // calls of further kinds
}

/** The calls of one kind in the seconds that Recent tells. */
struct RecentCalls {
  1: string name            // the service
  2: string method          // "*": of kinds beyond what the process tells apart
  3: optional string version // of the callee
  4: optional string caller // of calls that it served; absent: calls that it made
  5: optional bool greets   // the caller is a process of skerry, which counts the calls, too
  6: i64 calls
  7: optional map<string, i64> kinds  // the failures, by health.Outcome; those that it served and that failed: failed
  8: optional map<i32, i64> latencies // how many took how long, by step of recent.Steps
}

/** The streams of one method with one other end. */
struct StreamCount {
  1: string name            // the service
  2: string method
  3: string mode            // server, client or bidi
  4: optional string version
  5: bool served            // here; else this process has opened them
  6: string peer            // the other end; empty: of all beyond the first 500
  7: i64 open
  8: i64 oldestMs           // age of the oldest open one
  9: i64 opened             // accepted since the start
  10: map<string, i64> ended // by code; ok: with the handler's answer
  11: i64 received          // items
  12: i64 receivedBytes
  13: i64 sent
  14: i64 sentBytes
  15: i64 stalledMs         // for which senders here have waited for credit
}

/** The streams of a process since its start, those with most open ones first, at most 500 kinds. */
struct Streams {
  1: list<StreamCount> streams
  2: optional i64 kindsLeft // kinds that are left out
}

/** Calls of a service in each 10 s of the last 5 minutes, oldest first: those that it made, or, with served, those of callers that do not count. */
struct RecentTrend {
  1: string name            // the service
  2: optional bool served
  3: list<i32> calls
}

/** The calls of a process in the last seconds, those with most calls first, in at most 64 KiB. */
struct Recent {
  1: i64 seconds            // that the calls cover: up to 30 more than asked for, less when the process is younger
  2: list<RecentCalls> calls
  3: list<RecentTrend> trends
  4: optional string caller // its name at callees; absent: its address
  5: optional i64 kindsLeft // kinds that are left out, with their calls
  6: optional i64 callsLeft
}

/** Which spans are meant; what is absent does not matter. */
struct SpanQuery {
  1: optional list<binary> traces // ids, of 16 bytes each
  2: optional string name   // the service
  3: optional string method
  4: optional string failure // a code; "*": any
  5: optional string mark   // of the release
  6: optional i64 sinceMs   // those that began so long ago at most
  7: optional i64 slowerUs  // those that took at least so long
  8: optional string order  // slowest first; absent: newest first
  9: i32 most
}

/** One attempt of a call as one side saw it. Caller and callee of an attempt give it the same id. */
struct Span {
  1: binary trace
  2: i64 id
  3: optional i64 parent    // of the caller's span: the call that was being served; absent: the trace began here
  4: string side            // caller, callee, or edge: a request from outside
  5: string name            // the service
  6: string method
  7: i64 agoUs              // since it began
  8: i64 tookUs
  9: optional string failure // code
  10: optional string version // of the callee
  11: optional string peer  // address: the callee's, or the caller's
  12: optional string caller // its service
  13: optional i32 attempt  // counted over the chain of callers; absent: the first
  14: optional i64 waitUs   // before it was sent, or before its handler began
  15: optional i64 limitMs  // time that was left when it began
  16: optional string rules // of the policy, that acted
  17: optional string mark
  18: optional string release // generation that the trace reads
  19: optional string notes // words: exception (declared), oneway, copy, fallback
}

/** Spans that a process keeps. */
struct Spans {
  1: list<Span> spans
  2: optional bool more     // there are further ones
  3: i32 every              // of calls that are neither slow nor failed, those of one of so many traces are kept
  4: i64 slowUs             // a call that takes so long is kept
}

/** A .thrift file, by its path in a tree of its own. */
struct IdlFile {
  1: string name
  2: binary text
}

/** How a service is described where its process runs. */
struct Idl {
  1: list<IdlFile> files    // that of the service first; none: the process knows no description
  2: optional string declared  // the service's name in that file, where it declares several
  3: optional string version   // of the service that the process offers; absent: it only calls it, or there is none
  4: optional string trouble   // why there are no files, though the configuration names one
}

/** What a process keeps calls away from, as operators have ordered. */
struct Drains {
  1: i64 number             // orders obeyed since its start; the next one has the number after it
  2: list<Drain> drains
  3: optional i64 running   // calls of its drained services that are under way
  4: optional i64 retained  // of the drains, those that outlive a restart until their time is over
}

/** One drain in force. */
struct Drain {
  1: string by              // operator
  2: optional string why
  3: i64 ageMs              // since it began
  4: optional i64 leftMs    // until it ends by itself; absent: it ends with the process
  5: optional list<DrainedInstance> instances // absent: all that the process offers
}

/** An instance that a drain names. */
struct DrainedInstance {
  1: string name            // the service
  2: optional string version
  3: string addr            // host:port
}

/** An operator's order was not obeyed; nothing has changed. */
exception OrderRefused {
  1: string code            // unproven, foreign, stale, order, absent, alive
  2: string message
}

/** How a registry stands for a process. */
struct SourceState {
  1: string name            // database or lan
  2: optional string lost   // why it can't be reached, at most 300 bytes; absent: it can
  3: i64 others             // further processes that it lists or, of a LAN, that are heard there now
  4: optional i64 heardMs   // since one of those was heard; of a LAN only, absent: none
}

/** The clock, the memory and the registries of a process, as it sees them. */
struct Condition {
  1: i64 clockUs            // its clock, microseconds since 1970
  2: optional i64 memory    // of its host that it takes, in bytes; absent: not known
  3: list<SourceState> sources
}

/**
 * The framework's own service, skerry.internal, on the port of every process.
 * Entries of the rule log travel as rollout.Record.Marshal writes them, reports
 * as the JSON of package rollout.
 *
 * ping, bring and whoAmI are open to every caller; all else is for members, on
 * a site connection. A caller without one hears the cluster and the release only.
 */
service Internal {
  Identity whoAmI()
  Description describe()
  void ping()

  /** The entries after a generation (rollout.Generation.String), oldest first, a page of them. */
  Records log(1: string after)
  /** Applies entries, oldest first, that operators trusted here have signed; returns the generation applied then. Open to every caller: entries prove themselves. */
  string bring(1: list<binary> records) throws (1: RulesRefused refused)
  /** Accepts an entry that is to be committed where no database orders the log. undertaking is a rollout.Undertaking: which command asks, and its proof. */
  void promise(1: binary record, 2: binary undertaking) throws (1: RulesRefused refused)
  /** Takes the promise of exactly this entry back, unless other commands have asked for it, too. */
  void abandon(1: binary record, 2: binary undertaking) throws (1: RulesRefused refused)
  /** Never promises this entry from now on; refused when it is promised or applied. */
  void bar(1: binary record, 2: binary undertaking) throws (1: RulesRefused refused)
  /** The entry that was promised and is not committed; empty: none. */
  binary promised()
  /** Answers a round of a drain with a rollout.Report; it may take waitMs when work that reads a generation before that one is under way. */
  binary report(1: i64 round, 3: string before, 4: i64 waitMs)
  /** Every process that this one has heard of and that has not withdrawn. */
  list<Member> members()
  /** The caller is on no registry's list, and on the list of members by this; again every 30 s while that is so. */
  void introduce(1: Member me)
  /** The caller, introduced before, has ended its work. */
  void farewell(1: Owner me)
  /** Has this process of the callee's own host ended for certain? */
  bool ended(1: Owner owner, 2: string place)
  /** The versions of services of which this process could call an instance now; it begins to look for services that it does not know. */
  map<string, list<string>> sees(1: list<string> names)
  /** Counts of the calls served and made; slow counts those that took longer than slowMs, or than what slowMsOf says of the service. */
  list<Served> served(1: i64 slowMs, 2: map<string, i64> slowMsOf)
  /** What it has refused. */
  Refusals refusals()
  /** The entries of the policy log that the process holds and the caller does not: have are hashes. */
  Policies policies(1: list<string> have)
  /** Takes in entries of the policy log, in any order; returns the number that is in force then. Entries prove themselves. */
  i64 bringPolicies(1: list<binary> records) throws (1: RulesRefused refused)
  /** The calls that the policy's access has refused, or would refuse. */
  DeniedCalls denied()
  /** What another policy, with these plans on, would have done with the calls of the last seconds: a policytry.Report. Nothing of it is applied. */
  binary tryPolicy(1: binary text, 2: i64 seconds, 3: list<string> plans) throws (1: RulesRefused refused)
  /** The calls that it served and made in the last seconds, 1 to 300. */
  Recent recent(1: i64 seconds)
  /** The streams that it serves and has opened. */
  Streams streams()
  /** Its clock, its memory and how its registries stand. */
  Condition condition()
  /** Checks itself and its host, for ten seconds at most and one at a time: a doctor.Report. */
  binary doctor()
  /** Calls that it has made and served lately: slow ones, failed ones, and those of some traces. */
  Spans spans(1: SpanQuery which)
  /** The .thrift text of a service, where the configuration of the process names it: at most 256 KiB. */
  Idl idl(1: string name)
  /** The drains in force, and the number of the last order that it has obeyed. */
  Drains drains()
  /** Obeys an operator's order: the text of an order, which names this process and the next number, and a rollout.Proof. */
  Drains obey(1: binary order, 2: binary proof) throws (1: OrderRefused refused)
  /** Leave the lists with a version that the rules have retired; false: not served here, or not retired. */
  bool leave(1: string name, 2: string version)
  /** End the streams of a version that were told to move, because a release sends them elsewhere; returns how many. */
  i32 cutStreams(1: string name, 2: string version)
}
