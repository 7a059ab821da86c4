// DB keeps records. (The database of the example, a table in memory.)
namespace go dbapi
namespace py dbapi
namespace js dbapi

include "hop.thrift"

struct Record {
  1: string key
  2: string text
  3: hop.Hop hop
}

exception NotFound {
  1: string key
}

service DB {
  Record read(1: string key) throws (1: NotFound notFound)
}
