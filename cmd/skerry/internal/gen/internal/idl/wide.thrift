include "base.thrift"

namespace * elsewhere
namespace go wide.rpc

/** Behind their use, typedefs are replaced by what they mean. */
struct Uses {
  1: required i64 n
  2: required Choosing c
  3: optional LaterList ll
  4: LaterValue v
}

typedef base.Choice Choosing
typedef list<Kind> LaterList
typedef base.Value LaterValue

typedef i64 Serial
typedef list<Kind> Kinds

enum Kind {
  A = 1
  B = 2
}

exception Bad_args {
  1: string why
}

exception new_error {
  1: i32 user_id
}

struct get_url {
  1: i32 user_id
  2: string http_url_x
  3: optional Serial some_result
  4: optional head head
  5: optional binary raw
  6: optional Kind kind_args
}

struct head {
  1: optional Serial at
}

/**
 * A service of every type.
 */
service Wide extends base.Root {
  // items of every type
  bool bools(1: bool x) (skerry.stream = "server")
  Serial numbers(1: Serial since) (skerry.stream = "server", skerry.resume = "since")
  double doubles(1: double x) (skerry.stream = "server")
  string texts(1: i32 most = 7, 2: string tag = "x", 3: optional i32 o) throws (1: Bad_args bad_args, 2: new_error e, 3: base.Gone gone) (skerry.stream = "server")
  binary blobs(1: binary after) (skerry.stream = "server", skerry.resume = "after")
  Kind kinds(1: Kind k) (skerry.stream = "server")
  list<base.Value> lists(1: list<base.Value> l) (skerry.stream = "server")
  set<i32> sets(1: set<i32> s) (skerry.stream = "server")
  map<Kind, Kinds> maps(1: map<Kind, Kinds> m) (skerry.stream = "server")
  Kinds kindLists(1: Kinds kinds) (skerry.stream = "server")
  base.Choice unions(1: base.Choice c) (skerry.stream = "server")
  get_url urls(1: get_url url) (skerry.stream = "server", skerry.resume = "url.head.at = some_result")

  // cursors
  get_url heads(1: i64 since) (skerry.stream = "server", skerry.resume = "since = head.at")
  get_url structs(1: get_url url) (skerry.stream = "server", skerry.resume = "url.head")

  // items of the caller, and what is sent in place of other arguments
  void put(1: i64 n) throws (1: base.Gone gone) (skerry.stream = "client")
  Serial put_all(1: Uses uses, 2: get_url user, 3: list<i64> ns, 4: required base.Choice choice) throws (1: base.Gone gone) (skerry.stream = "client", skerry.item = "ns")
  string talk(1: string text, 2: Kinds context) throws (1: base.Gone gone) (skerry.stream = "bidi", streaming.mode = "bidirectional", skerry.item = "text")

  // asynchronous
  void later(1: bool fail) throws (1: base.Gone gone) (skerry.async = "true")
  list<string> new_thing_args(1: i32 url_args, 2: i32 api, 3: i32 rpc, 4: string done) (skerry.async)

  // pages
  list<Serial> numbers_page(1: Serial since, 2: i32 max, 3: i64 wait_ms) (skerry.page = "numbers")

  // unary
  oneway void notify(1: string id)
  get_url get_url(1: get_url url, 2: i32 item, 3: i32 c, 4: i32 error_)
}

service echo {
  string echo(1: string text) (streaming.mode = "bidirectional")
}

service Plain {
  string plain()
}
