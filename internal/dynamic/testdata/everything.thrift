// Every kind of type that the codec knows, for its tests.
namespace go everything

include "shared/common.thrift"

const i32 DEFAULT_LIMIT = 50

enum Role { GUEST = 0, USER = 1, ADMIN = 7 }

typedef i64 UserID
typedef list<UserID> UserIDs

union Contact {
  1: string mail
  2: i64 phone
}

struct Leaf {
  1: bool flag
  2: i8 tiny
  3: i16 small
  4: i32 medium
  5: i64 large
  6: double real
  7: string text
  8: binary blob
}

struct Key {
  1: required string realm
  2: i32 number
}

struct Everything {
  1: Leaf leaf
  2: Role role
  3: Contact contact
  4: UserIDs ids
  5: set<string> names
  6: map<string, i32> counts
  7: map<i32, string> by_number
  8: map<Role, bool> by_role
  9: map<bool, string> by_bool
  10: map<Key, list<Leaf>> by_key
  11: map<binary, double> by_blob
  12: list<map<i64, set<i16>>> nested
  13: Everything child
  14: common.Point point
  15: map<double, string> by_real
  16: list<Everything> children
}

struct Query {
  1: required string text
  2: optional i32 limit = DEFAULT_LIMIT
  3: Role role = Role.USER
  4: common.Point near = {"x": 1, "y": 2}
  5: list<string> tags = ["a", "b"]
  6: map<string, i32> weights = {"a": 1}
  7: optional bool deep = true
  8: set<i16> pages = [1]
  9: double ratio = 0.5
}

exception Denied {
  1: string reason
  2: i32 wait_seconds
}

service Base {
  string ping()
}

service Everywhere extends common.Root {
  Everything echo(1: Everything value)
  i32 search(1: Query query) throws (1: Denied denied)
  oneway void tell(1: string text, 2: Role role)
  void nothing()
  list<Role> two(1: UserID id, 2: set<Leaf> leaves) throws (1: Denied denied, 2: common.Gone gone)
}
