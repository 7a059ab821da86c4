// Auth issues tokens and verifies them.
namespace go authapi
namespace py authapi
namespace js authapi

struct Token {
  1: string value
  2: string user
  /** Milliseconds since 1970. */
  3: i64 expires
}

exception Denied {
  1: string reason
}

service Auth {
  /** Gives a token to a user that knows the site's secret. */
  Token getToken(1: string user, 2: string secret) throws (1: Denied denied)
  /** Returns the user of a token. Harmless to ask twice. */
  string verify(1: string token) throws (1: Denied denied)
}
