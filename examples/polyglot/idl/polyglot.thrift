// The portal in four languages: a request meets Portal (Node.js), Auth (Java), DB (C++) and Proc (Python).
namespace cpp polyglot
namespace go polyglot
namespace java polyglot
namespace py polyglot

/** A program that a request met. */
struct Met {
  1: string callee
  2: string version
  3: string program
}

struct Answer {
  1: string text
  /** The programs that it took: the one that answers, then what it called. */
  2: list<Met> met
}

/** The token is of another version of Auth. */
exception Denied {
  1: string reason
}

service Auth {
  Answer getToken(1: string request, 2: string user)
  Answer verify(1: string request, 2: string token) throws (1: Denied denied)
}

service DB {
  Answer fullName(1: string request, 2: string user)
  Answer read(1: string request, 2: string token, 3: string key) throws (1: Denied denied)
}

service Proc {
  Answer process(1: string request, 2: string token, 3: string key) throws (1: Denied denied)
}

service Portal {
  Answer handle(1: string request, 2: string user, 3: string key) throws (1: Denied denied)
}
