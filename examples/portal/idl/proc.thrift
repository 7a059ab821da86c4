// Proc does the work: it lets Auth verify the token and reads DB.
namespace go procapi
namespace py procapi
namespace js procapi

include "auth.thrift"
include "hop.thrift"

struct Report {
  1: string text
  /** Everyone who worked on it, in the order of the calls. */
  2: list<hop.Hop> hops
}

/** A service further down could not be called. */
exception Upstream {
  1: string callee
  /** rpc.Code of the failed call, for example connection_lost. */
  2: string code
  /** Whether the failed call was executed: "executed", "not executed", "may have been executed". */
  3: string executed
  /** Instance that the call went to; empty when there was none. */
  4: string instance
  5: string text
}

service Proc {
  Report process(1: string token, 2: string key) throws (1: auth.Denied denied, 2: Upstream upstream)
}
