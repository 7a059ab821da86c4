/**
 * What the agents of a site, the operator's commands and the console say to
 * one another: the service skerry.agent, which every agent on the network
 * offers.
 *
 * Nothing here gives a caller a right over what runs. A host is changed only
 * by a plan that a key of its operators has signed, from whichever neighbour
 * it comes; content is asked for by its digest alone.
 *
 * Rules of change: fields are only added, never renumbered or reused; every
 * new field is optional and its absence means what was meant before it.
 */
namespace go agentwire

/** A plan as it was signed. */
struct SignedPlan {
  1: i64 number
  2: binary document          // the text of plan.yaml
  3: binary signature         // armored SSHSIG of the document, namespace skerry-plan
  4: optional string signedBy // name of the operator's key, by the host that answers
  5: optional i64 takenAt     // when that host took it, microseconds since 1970
  6: optional string digest   // sha256:HEX of the document, also where the document is left out
  7: optional string conflict // why the plan is not carried out: another one of its number is validly signed, too
  8: optional binary otherDocument  // that other plan
  9: optional binary otherSignature
}

/** How a host sees one instance. Times are microseconds since 1970 by the host's clock. */
struct Instance {
  1: string name              // SERVICE/VERSION#N
  2: string phase             // starting, up, backing-off, stopping, stopped, gone, wanted, unknown
  3: optional i64 since
  4: optional i32 pid
  5: optional list<i32> ports
  6: optional i32 restarts
  7: optional bool crashLooping
  8: optional i64 dueAt       // of the start or the kill that is due
  9: optional string lastExit // such as "exit status 1" or "signal: killed"
  10: optional list<string> unenforced // limits that the host does not hold
  11: optional i64 logDropped // bytes
  12: optional string problem
  13: optional string digest  // of the artifact
  14: optional i64 memory     // bytes that the instance uses now
  15: optional i64 cpuMs      // processor time since its start
}

/** What a host says of itself. */
struct Status {
  1: string cluster
  2: string host
  3: string platform          // linux/amd64
  4: string version           // of skerry
  5: i64 plan                 // number of the plan that is obeyed, 0: none
  6: optional string planDigest // sha256:HEX of its document
  7: optional string signedBy
  8: bool locked
  9: optional string problem  // of the plan, or of the host
  10: list<Instance> instances
  11: optional list<string> fetching // one line for each artifact that is being fetched
  12: optional i64 storeUsed  // bytes
  13: optional i64 storeFree  // bytes above the floor
  14: optional i64 startedAt  // of the agent
  15: optional map<string, string> labels // of the host, for plans that choose by labels
}

/** Lines of an instance's log. */
struct LogPage {
  1: binary text
  2: i64 cursor               // cursor for the page behind this one
  3: optional i64 skipped     // bytes that were rotated away before they were read
}

/** The request can't be carried out; the reason is for an operator. */
exception Refused {
  1: string reason
  2: optional bool busy       // it is worth asking again, or another host
}

/** What a host has of a blob. Bit i of a set is the bit i%8 of its byte i/8, and stands for the piece i of 4 MiB. */
struct Holding {
  1: bool whole
  2: optional i64 size        // bytes; of a whole blob
  3: optional binary pieces   // that are here, of a blob that is not whole
  4: optional binary underWay // that are being fetched
}

service Agent {
  /** The state of the host. */
  Status status()

  /**
   * The plan that is obeyed, if its number is higher; else a SignedPlan with the number, the digest and the conflict
   * alone.
   */
  SignedPlan plan(1: i64 above)

  /** Has the host obey a plan. Refused if it may not; a plan that is obeyed already is taken as well. */
  void offer(1: SignedPlan plan) throws (1: Refused refused)

  /** Plans that were obeyed, latest first, with numbers below before (0: all). At most 20. */
  list<SignedPlan> history(1: i64 before)

  /** Sizes in bytes of those blobs (sha256:HEX) that the host has whole. At most 1000 are asked for at once. */
  map<string, i64> have(1: list<string> digests)

  /** What the host has of each of these blobs, whole or not. At most 16 are asked for at once. */
  map<string, Holding> holdings(1: list<string> digests)

  /** The signatures (armored SSHSIG, namespace skerry-artifact) that the host has of an artifact; none if it has none. */
  list<binary> signatures(1: string digest)

  /** At most 4 MiB of a blob, which may still be incomplete: of pieces that are there. */
  binary piece(1: string digest, 2: i64 offset, 3: i32 length) throws (1: Refused refused)

  /**
   * Lines of an instance's log from a cursor; a negative cursor asks for the
   * last lines. The host waits up to waitMs for new ones (at most 30 s).
   */
  LogPage log(1: string instance, 2: i64 cursor, 3: i32 lines, 4: i32 waitMs) throws (1: Refused refused)
}
