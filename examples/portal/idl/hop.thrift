namespace go hopapi
namespace py hopapi
namespace js hopapi

/** One call on the way of a request, as its caller saw it. */
struct Hop {
  /** Service that was called. */
  1: string callee
  2: string method
  /** Which instance answered, host:port, and its version. */
  3: string instance
  4: string version
  /** How many instances were tried; 1 when the first one answered. */
  5: i32 attempts
  /** How long the caller waited, in microseconds. */
  6: i64 micros
}
