// The service that the tests of package rpc call.
namespace go echo

struct Message {
  1: string text
  2: map<string, string> tags
  3: i64 number
  4: list<Message> parts
}

exception Refusal { 1: string why }

service Base {
  string who()
}

service Echo extends Base {
  Message echo(1: Message m) throws (1: Refusal r)
  i64 sleep(1: i64 millis)         // answers when the time is over, or fails when its context ends
  void fail(1: string how) throws (1: Refusal r) // "declared", "error", "panic", "abandon"
  oneway void note(1: string text)
}

enum Kind { SMALL = 1 }

// Load has a field of each kind that takes memory of its own.
struct Load {
  1: list<bool> flags
  2: list<i64> numbers
  3: list<string> texts
  4: list<binary> blobs
  5: list<Load> parts
  6: set<Kind> kinds
  7: list<list<i16>> rows
  8: map<i32, Load> by_number
  9: map<string, string> by_name
  10: list<map<string, string>> tables
  11: map<Load, i32> by_load
  12: optional string text
  13: optional i32 number
  14: Load inner
  15: binary blob
  16: list<Message> messages
}

service Loads {
  i64 weigh_it(1: Load load, 2: list<Load> loads)
  Load give(1: i64 size)
}

// Feed has a stream of each mode.
service Feed {
  Message watch(1: i64 first, 2: i64 count) throws (1: Refusal r) (skerry.stream = "server")
  i64 numbers(1: i64 count) (skerry.stream = "server")
  i64 upload(1: string tag, 2: Message item) throws (1: Refusal r) (skerry.stream = "client", skerry.item = "item")
  Message talk(1: Message m) throws (1: Refusal r) (skerry.stream = "bidi")
  string plain(1: string text)
  string later(1: string text) throws (1: Refusal r) (skerry.async = "true")
}
