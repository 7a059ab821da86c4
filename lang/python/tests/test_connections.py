"""Connections to the proxy: none is used that is broken or half read, and the program outlives its proxy."""
import os
import socket
import struct
import threading
import time
import unittest

import skerry
from billing import Auth
from billing.ttypes import Denied
from support import Case
from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException


class Connections(Case):
    def client(self, address, **options):
        protocol = skerry.connect("auth", address=address, **options)
        self.addCleanup(protocol.close)
        return Auth.Client(protocol)

    def test_calls(self):
        proxy = self.proxy()
        auth = self.client(proxy.address)
        self.assertEqual("auth", auth.name())
        with self.assertRaises(Denied):
            auth.verify("denied")
        for size in 0, 1, 65531, 65532, 65533, 5 << 20:
            data = os.urandom(size)
            self.assertEqual(data, auth.echo(data))
        auth.note("one way")
        self.assertEqual("none", auth.verify("behind it"))
        self.assertEqual([("none", "one way")], proxy.wait_for_notes(1))
        self.assertEqual(1, proxy.accepted)
        self.assertIn("auth:verify", proxy.names)

    def test_unknown_names_are_answered(self):
        proxy = self.proxy()
        other = Auth.Client(skerry.connect("other", address="unix:" + proxy.address))
        with self.assertRaises(TApplicationException):
            other.name()

    def test_client_is_shared_by_threads(self):
        proxy = self.proxy()
        auth = self.client(proxy.address)
        wrong = []

        def call(number):
            for i in range(50):
                data = b"%d %d" % (number, i)
                if auth.echo(data) != data:
                    wrong.append(data)
        threads = [threading.Thread(target=call, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([], wrong)
        self.assertLessEqual(proxy.accepted, 16)

    def test_program_starts_before_its_proxy(self):
        path = os.path.join(self.folder, "proxy.sock")
        auth = self.client(path)
        starter = threading.Timer(0.5, lambda: self.proxy(path=path))
        starter.start()
        self.assertEqual("auth", auth.name())
        starter.join()

    def test_no_proxy(self):
        auth = self.client(os.path.join(self.folder, "none.sock"))
        began = time.monotonic()
        with self.assertRaises(TTransportException) as caught:
            auth.name()
        self.assertEqual(TTransportException.NOT_OPEN, caught.exception.type)
        self.assertIn("none.sock", caught.exception.message)
        self.assertTrue(1.5 < time.monotonic() - began < 4)

    def test_deadline_ends_the_dialling(self):
        auth = self.client(os.path.join(self.folder, "none.sock"))
        token = skerry._current.set(("W", time.monotonic() - 0.8))
        began = time.monotonic()
        with self.assertRaises(TTransportException):
            auth.name()
        skerry._current.reset(token)
        self.assertLess(time.monotonic() - began, 1.6)

    def test_proxy_restarts(self):
        proxy = self.proxy()
        auth = self.client(proxy.address)
        for _ in range(3):
            self.assertEqual("auth", auth.name())
            path = proxy.path
            proxy.stop()
            proxy = self.proxy(path=path)

    def test_call_is_sent_again_after_a_broken_pipe(self):
        """The proxy shuts the reading half between the look at the socket and the sending."""
        proxy = self.proxy()
        auth = self.client(proxy.address)
        auth.name()
        connection = auth._oprot.trans
        begin = connection.begin

        def begin_then_shut(*args):
            begin(*args)
            connection.begin = begin
            proxy.end_connections(socket.SHUT_RD)
        for call in lambda: self.assertEqual(b"x" * 300000, auth.echo(b"x" * 300000)), lambda: auth.note("once"):
            connection.begin = begin_then_shut
            call()
        self.assertEqual("auth", auth.name())
        self.assertEqual([("none", "once")], proxy.wait_for_notes(1))
        self.assertEqual(3, proxy.accepted)

    def test_broken_pipe_over_tcp_is_told(self):
        proxy = self.proxy(token="secret")
        auth = self.client(proxy.address, token="secret")
        auth.name()
        connection = auth._oprot.trans
        begin = connection.begin

        def begin_then_end(*args):
            begin(*args)
            connection._sock.shutdown(socket.SHUT_WR)
        connection.begin = begin_then_end
        with self.assertRaises(TTransportException):
            auth.name()
        connection.begin = begin
        self.assertEqual("auth", auth.name())

    def test_end_before_the_reply_is_told(self):
        """A call that may have been executed is not sent again."""
        proxy = self.proxy()
        auth = self.client(proxy.address)
        auth.name()
        ender = threading.Timer(0.3, proxy.end_connections)
        ender.start()
        with self.assertRaises(TTransportException) as caught:
            auth.verify("slow")
        self.assertEqual(TTransportException.END_OF_FILE, caught.exception.type)
        self.assertEqual(1, proxy.names.count("auth:verify"))
        self.assertEqual("auth", auth.name())

    def test_reply_that_comes_too_late_is_never_read(self):
        proxy = self.proxy()
        auth = self.client(proxy.address, timeout=0.2)
        with self.assertRaises(TTransportException) as caught:
            auth.verify("slow")
        self.assertEqual(TTransportException.TIMED_OUT, caught.exception.type)
        self.assertEqual("auth", auth.name())
        self.assertEqual(2, proxy.accepted)

    def test_call_that_could_not_be_encoded(self):
        proxy = self.proxy()
        auth = self.client(proxy.address)
        with self.assertRaises(Exception):
            auth.echo(17)
        self.assertEqual(b"x", auth.echo(b"x"))

    def test_reply_that_is_none(self):
        """HTTP, a frame that is too large, and two frames: told, and a new connection for the next call."""
        for bad in b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack("!i", -5), b"\0\0\0\1xy", b"\0\0\0\2ab":
            path = os.path.join(self.folder, "bad.sock")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(1)
            answers = []

            def answer():
                connection, _ = listener.accept()
                answers.append(connection.recv(1000))
                connection.sendall(bad)
                connection.close()
            thread = threading.Thread(target=answer)
            thread.start()
            auth = self.client(path)
            with self.assertRaises(Exception):
                auth.name()
            thread.join()
            listener.close()
            os.unlink(path)
            proxy = self.proxy(path=path)
            self.assertEqual("auth", auth.name())
            proxy.stop()

    def under(self, word, left=None):
        """Makes the test a part of a request."""
        before = skerry._current.set((word, None if left is None else time.monotonic() + left))
        self.addCleanup(skerry._current.reset, before)

    def test_one_way_call_of_a_request_returns_when_it_is_passed_on(self):
        proxy = self.proxy()
        proxy.note_takes = 0.2
        auth = self.client(proxy.address)
        auth.note("of none")
        self.assertEqual([], proxy.notes, "a call of no request waits for nothing")
        proxy.wait_for_notes(1)
        self.under("W1", 5)
        for text in "first", "second":
            auth.note(text)
            self.assertEqual(("W1", text), proxy.notes[-1])
        self.assertEqual("W1", auth.verify("behind them"))
        self.assertEqual(1, proxy.accepted)
        self.assertEqual(["auth:note"] + 2 * ["ctx=W1;auth:note", "ctx=W1;skerry.sent"] + ["ctx=W1;auth:verify"],
                         proxy.names)

    def test_proxy_that_does_not_know_what_is_sent(self):
        proxy = self.proxy()
        proxy.on_sent = lambda oprot, seqid: proxy.refuse(
            oprot, "skerry.sent", seqid, TApplicationException.UNKNOWN_METHOD, "unknown")
        auth = self.client(proxy.address)
        self.under("W1")
        auth.note("x")
        self.assertEqual("W1", auth.verify("behind it"))
        self.assertEqual(1, proxy.accepted)

    def test_deadline_ends_the_wait_for_a_one_way_call(self):
        proxy = self.proxy()
        proxy.on_sent = lambda oprot, seqid: True   # no answer
        auth = self.client(proxy.address)
        self.under("W1", 0.2)
        began = time.monotonic()
        with self.assertRaises(TTransportException) as caught:
            auth.note("x")
        self.assertEqual(TTransportException.TIMED_OUT, caught.exception.type)
        self.assertTrue(1.1 < time.monotonic() - began < 3)

    def test_proxy_ends_before_a_one_way_call_is_passed_on(self):
        proxy = self.proxy()
        proxy.on_sent = lambda oprot, seqid: proxy.end_connections() or True
        auth = self.client(proxy.address)
        self.under("W1")
        with self.assertRaises(TTransportException) as caught:
            auth.note("x")
        self.assertEqual(TTransportException.END_OF_FILE, caught.exception.type)
        self.assertEqual("W1", auth.verify("the next"))

    def test_proxy_that_hands_over_behind_a_one_way_call(self):
        """It closes when what it read is passed on: the call is not sent again."""
        proxy = self.proxy()
        proxy.note_takes = 0.3
        auth = self.client(proxy.address)
        auth.name()
        connection = auth._oprot.trans
        wait = connection._await_sent

        def shut_then_wait():
            while "ctx=W1;auth:note" not in proxy.names:    # it has read the call
                time.sleep(0.01)
            proxy.end_connections(socket.SHUT_RD)
            wait()
        connection._await_sent = shut_then_wait
        self.under("W1")
        auth.note("once")
        self.assertEqual([("W1", "once")], proxy.notes)
        connection._await_sent = wait
        auth.note("twice")
        self.assertEqual([("W1", "once"), ("W1", "twice")], proxy.notes)

    def test_login(self):
        proxy = self.proxy(token="secret")
        auth = self.client(proxy.address, token="secret")
        self.assertEqual("auth", auth.name())
        self.assertEqual("none", auth.verify("t"))
        self.assertEqual(1, proxy.logins)
        file = os.path.join(self.folder, "token")
        with open(file, "w") as out:
            out.write("secret\n")
        os.environ["SKERRY_PROXY_TOKEN_FILE"] = file
        self.addCleanup(os.environ.pop, "SKERRY_PROXY_TOKEN_FILE")
        self.assertEqual("auth", self.client(proxy.address).name())

    def test_wrong_token(self):
        proxy = self.proxy(token="secret")
        with self.assertRaises(TTransportException) as caught:
            self.client(proxy.address, token="guess").name()
        self.assertIn("wrong token", caught.exception.message)
        self.assertEqual(1, proxy.logins)

    def test_addresses(self):
        for address, expected in {
            "/run/p.sock": ("/run/p.sock", None), "unix:/run/p.sock": ("/run/p.sock", None),
            "unix:p.sock": ("p.sock", None), "./p:1/x": ("./p:1/x", None),
            "127.0.0.1:7760": (None, ("127.0.0.1", 7760)), "[::1]:7760": (None, ("::1", 7760)),
        }.items():
            self.assertEqual(expected, skerry._parse(address))
        for address in "", "proxy", "proxy:http":
            with self.assertRaises(ValueError):
                skerry._parse(address)


if __name__ == "__main__":
    unittest.main()
