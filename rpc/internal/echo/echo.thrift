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
