struct Point {
  1: required double x
  2: required double y
}

exception Gone {
  1: UnixTime since
}

typedef i64 UnixTime

service Root {
  string version()
}
