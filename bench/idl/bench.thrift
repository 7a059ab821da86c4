// The unary echo that every peer of the benchmark runs.
namespace go benchthrift

struct Msg {
  1: string msg
  2: map<string, string> tags
  3: i64 id
}

service Echo {
  Msg echo(1: Msg m)
  // slow holds its worker for that many milliseconds.
  Msg slow(1: Msg m, 2: i32 millis)
}

service Feed {
  // watch sends the message again and again, with numbers.
  Msg watch(1: Msg m) (skerry.stream = "server")
}
