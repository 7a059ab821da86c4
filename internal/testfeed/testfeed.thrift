namespace go testfeed

struct Point { 1: i64 t, 2: string text }
struct Range { 1: i64 since, 2: i64 count }
struct Ack { 1: i64 points, 2: i64 last, 3: string tag }
exception Gone { 1: i64 oldest }

service Feed {
  Point watch(1: Range r) throws (1: Gone g) (skerry.stream = "server", skerry.resume = "r.since = t")
  Ack upload(1: string tag, 2: Point point) throws (1: Gone g) (skerry.stream = "client", skerry.item = "point")
  Point talk(1: Point point) throws (1: Gone g) (streaming.mode = "bidirectional")
}
