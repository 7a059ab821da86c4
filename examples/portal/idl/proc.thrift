// Proc does the work: it lets Auth verify the token and reads DB.
namespace go procapi
namespace py procapi
namespace js procapi

include "auth.thrift"
include "db.thrift"
include "hop.thrift"

struct Report {
  1: string text
  /** The calls that it took, in order. */
  2: list<hop.Hop> hops
}

/** A call further down failed, other than by an exception of the callee's own. */
exception Upstream {
  1: string callee
  2: string method
  /** Why, for example connection_lost; the spelling of rpc.Code. */
  3: string code
  /** "executed", "not executed" or "may have been executed". */
  4: string executed
  /** The instance that the call went to; empty when there was none. */
  5: string instance
  6: string text
}

service Proc {
  Report process(1: string token, 2: string key)
    throws (1: auth.Denied denied, 2: db.NotFound notFound, 3: Upstream upstream)
}
