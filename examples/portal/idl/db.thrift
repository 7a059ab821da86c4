// DB keeps records. (The database of the example: a table in memory.)
namespace go dbapi
namespace py dbapi
namespace js dbapi

struct Record {
  1: string key
  2: string text
}

exception NotFound {
  1: string key
}

service DB {
  /** Harmless to ask twice. */
  Record read(1: string key) throws (1: NotFound notFound)
}
