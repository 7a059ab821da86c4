namespace go common.base

/** A value. */
struct Value {
  1: required i64 t
  2: optional double v
}

exception Gone {
  1: string why
}

union Choice {
  1: i32 number = 5
  2: Value some_value
  3: string text
}

typedef i64 Millis

service Root {
  void ping()
  Value last(1: Millis since) throws (1: Gone gone) (skerry.stream = "server", skerry.resume = "since = t")
}
