// Services of the helpers' tests. Java, Python and the later languages generate from this file.
namespace py billing
namespace java billing

exception Denied {
  1: string reason
}

service Named {
  string name()
}

/** Played by the proxy, or by what stands in for it. */
service Auth extends Named {
  /** Returns the context under which it was called, or "none". */
  string verify(1: string token) throws (1: Denied denied)
  binary echo(1: binary data)
  oneway void note(1: string text)
}

/** Played by the program under test. */
service Billing extends Named {
  /** Calls Auth.verify by a carrier (a thread, a timer ...) and returns its answer. */
  string charge(1: string carrier, 2: string token) throws (1: Denied denied)
  /** Milliseconds that the helper says are left, -1 without a deadline. */
  i64 remaining()
  /** Ends after 200 ms, and notes token at Auth then. */
  oneway void later(1: string token)
  /** Fails without a declared exception: with an error of the language, or one of the library. */
  string fail(1: string how)
}
