// What the matrix of stock clients and servers calls; lang/matrix/run generates from it.
namespace py matrix
namespace java matrix
namespace cpp matrix
namespace netstd Stock

enum Colour {
  RED = 1
  GREEN = 7
}

struct Leaf {
  1: string name
  2: i64 weight
}

/** Each type of Thrift, with field numbers near and far, which compact writes differently. */
struct Everything {
  1: bool yes
  2: bool no
  3: i8 small
  4: i16 middle
  5: i32 number
  6: i64 big
  7: double real
  8: string text
  9: binary data
  10: list<i32> numbers
  11: set<string> words
  12: map<string, i64> counts
  13: map<string, string> nothing
  14: list<Leaf> leaves
  16: Colour colour
  17: optional string missing
  18: map<i32, list<Leaf>> nested
  400: i32 far
}

exception Denied {
  1: string reason
  2: i32 code
}

service Named {
  /** The name of the service that was called, such as java-framed-binary. */
  string name()
}

service Matrix extends Named {
  Everything mirror(1: Everything value)
  binary blob(1: binary data)
  map<string, list<i64>> table(1: map<string, list<i64>> table)
  list<bool> flags(1: list<bool> flags)
  string deny(1: string reason) throws (1: Denied denied)
  /** Ends with an error of the language. */
  string fail(1: string text)
  oneway void note(1: string text)
  bool noted(1: string text)
}
