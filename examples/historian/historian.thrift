// Historian keeps the values of sensors, and sends them as they come.
namespace go api
namespace py api

/** Value of one sensor at one time. */
struct Point {
  1: string tag
  /** Milliseconds since 1970. 0 in an upload is the time of its arrival. */
  2: i64 t
  3: double value
}

/** Values that a caller asks for. */
struct Range {
  /** Sensors; all without any. */
  1: list<string> tags
  /** Values after this time alone, in milliseconds since 1970. */
  2: i64 since
}

struct Query {
  1: string tag
  /** Milliseconds since 1970. */
  2: i64 t
}

struct Ack {
  /** Values that were kept. */
  1: i64 kept
}

/** Values were asked for that are not kept any more. */
exception Gone {
  1: string why
  /** The oldest time that is kept, in milliseconds since 1970. */
  2: i64 oldest
}

service Historian {
  /** Sends what is kept of a range, then what comes. */
  Point watch(1: Range r) throws (1: Gone gone) (skerry.stream = "server", skerry.resume = "r.since = t")

  /** A page of watch, for callers without streams. It waits up to waitMs for the first value. */
  list<Point> watchPage(1: Range r, 2: i32 max, 3: i32 waitMs) throws (1: Gone gone) (skerry.page = "watch")

  /** Keeps the values of one sensor. */
  Ack upload(1: string tag, 2: Point point) (skerry.stream = "client", skerry.item = "point")

  /** Answers each question with the last value at its time. */
  Point talk(1: Query q) throws (1: Gone gone) (skerry.stream = "bidi")

  /** Answers with the first value of a sensor after a time, when it comes. */
  Point after(1: Query q) (skerry.async = "true")

  /** Sensors that are known. */
  list<string> tags()
}
