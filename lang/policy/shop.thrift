// What the test of policies behind a real proxy calls; lang/policy/run generates from it.
namespace py shop

enum Colour {
  RED = 1
  GREEN = 7
}

union Contact {
  1: string mail
  2: i64 phone
}

struct Leaf {
  1: string name
  2: i64 weight
}

struct Item {
  1: string name
  2: list<i32> numbers
  3: map<string, Leaf> leaves
  4: Colour colour
  5: Contact contact
  6: set<string> words
  7: optional string missing
  8: bool yes
  9: double price
  10: map<i32, list<Colour>> nested
}

exception Denied {
  1: string reason
}

service Shop {
  /** The name of the server that was called. */
  string name()
  Item item(1: string id) throws (1: Denied denied)
  list<Contact> contacts()
  map<Colour, Leaf> leaves()
  Colour colour()
  void nothing()
  string deny(1: string reason) throws (1: Denied denied)
  /** Ends with an error of the language. */
  string fail()
  /** Answers with the name after that time. */
  string slow(1: i32 millis)
  /** Takes 1.5 s for the first call with that token. */
  string once(1: string token)
  string faulty()
  string delayed()
  string routed()
  string nowhere()
  string copied()
  /** How many calls of a method this program has executed. */
  i32 executed(1: string method)
}
