namespace go hopapi
namespace py hopapi
namespace js hopapi

/** Who worked on an answer: lets a reader follow one request through the system. */
struct Hop {
  1: string name
  2: string version
  /** Which process it was, as its configuration gives it. */
  3: string process
  /** 1 when the caller's first try arrived here; more when it had to try others before. */
  4: i32 attempt
}
