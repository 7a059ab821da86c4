// Portal is the entrance: one request sets off calls to Auth, Proc and DB.
namespace go portalapi
namespace py portalapi
namespace js portalapi

include "auth.thrift"
include "db.thrift"
include "hop.thrift"
include "proc.thrift"

struct Request {
  1: string user
  2: string secret
  /** Which record the user wants a report about. */
  3: string key
}

struct Answer {
  1: string text
  /** The calls that it took, in order. */
  2: list<hop.Hop> hops
}

service Portal {
  Answer handle(1: Request request)
    throws (1: auth.Denied denied, 2: db.NotFound notFound, 3: proc.Upstream upstream)
}
