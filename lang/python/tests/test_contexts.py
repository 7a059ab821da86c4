"""Each carrier brings the context of its own request, while another request crosses it."""
import sys
import threading
import unittest

from support import Case

CARRIERS = ["thread", "pool", "wrap", "timer", "fork"]
if sys.version_info >= (3, 7):
    CARRIERS += ["call_later", "run_in_executor", "tasks"]
if sys.version_info >= (3, 9):
    CARRIERS += ["to_thread"]


class Contexts(Case):
    def cross(self, port, carrier, rounds=5):
        """Two callers whose requests wait for each other in the handler."""
        answers = {}

        def call(word):
            caller = self.caller(port)
            answers[word] = [caller.under(word + str(i), 9000).charge(carrier, "cross") for i in range(rounds)]
            caller.close()
        threads = [threading.Thread(target=call, args=(word,)) for word in ("first", "second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers

    def test_requests_that_cross(self):
        for server in "threaded", "pool", "nonblocking":
            proxy = self.proxy()
            port = self.program(proxy, server)
            for carrier in CARRIERS:
                with self.subTest(server=server, carrier=carrier):
                    expected = {word: [word + str(i) for i in range(5)] for word in ("first", "second")}
                    self.assertEqual(expected, self.cross(port, carrier))
            proxy.stop()

    def test_what_carries_nothing(self):
        """A pool that is not wrapped, and what follows a detach, are no part of the request."""
        proxy = self.proxy()
        caller = self.caller(self.program(proxy))
        for carrier in "nothing", "detached":
            self.assertEqual("none", caller.under("W1").charge(carrier, "t"))
        self.assertEqual("W2", caller.under("W2").charge("thread", "t"), "the next request has its own again")


if __name__ == "__main__":
    unittest.main()
