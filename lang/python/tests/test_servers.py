"""The helper's processor in each server, framing and encoding of the stock library."""
import time
import unittest

import older
from billing.ttypes import Denied
from support import Case
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport.TTransport import TTransportException

SERVERS = ["simple", "threaded", "pool", "forking", "process-pool", "nonblocking"]
KINDS = ["framed-binary", "framed-fast", "framed-compact", "unframed-binary", "unframed-fast", "unframed-compact"]
try:
    import thrift.protocol.THeaderProtocol  # noqa: F401  from 0.12 on
    KINDS.append("header")
except ImportError:
    pass


class Servers(Case):
    def check(self, proxy, port, kind, prefix=""):
        caller = self.caller(port, kind, prefix)
        self.assertEqual("billing", caller.under("W0").name())
        self.assertEqual("W-1_", caller.under("W-1_", 5000).charge("thread", "t"))
        self.assertEqual("none", caller.under(None).charge("thread", "t"))
        self.assertEqual("W2", caller.under("W2").charge("thread", "t"))
        with self.assertRaises(Denied):
            caller.under("W3").charge("thread", "denied-here")
        with self.assertRaises(Denied):
            caller.under("W3").charge("thread", "denied")
        left = caller.under("W4", 5000).remaining()
        self.assertTrue(3000 < left <= 5000, left)
        self.assertEqual(-1, caller.under("W4").remaining())
        for how in "unreachable", "application", "value":
            with self.assertRaises(TApplicationException) as caught:
                caller.under("W5").fail(how)
            self.assertEqual(TApplicationException.INTERNAL_ERROR, caught.exception.type, how)
        self.assertEqual("W6", caller.under("W6").charge("thread", "after the failures"), "same connection")
        if kind != "header":
            self.one_way(proxy, caller)
        return caller

    def one_way(self, proxy, caller):
        """The question behind a one-way call is answered when its handler has ended, with the helper's name."""
        began = time.monotonic()
        caller.under("W7").later("noted")
        protocol = caller.protocol
        type(protocol).writeMessageBegin(protocol, "skerry.helper", TMessageType.CALL, 7)
        protocol.writeStructBegin("args")
        protocol.writeFieldStop()
        protocol.writeStructEnd()
        protocol.writeMessageEnd()
        protocol.trans.flush()
        name, kind, seqid = protocol.readMessageBegin()
        self.assertEqual(("skerry.helper", TMessageType.REPLY, 7), (name, kind, seqid))
        self.assertGreater(time.monotonic() - began, 0.19)
        self.assertEqual([("W7", "noted")], proxy.wait_for_notes(1))
        proxy.notes[:] = []
        self.assertEqual({1: "python 1.0", 2: True}, self.fields(protocol))
        protocol.readMessageEnd()
        self.assertEqual("W8", caller.under("W8").charge("thread", "t"))

    @staticmethod
    def fields(protocol):
        protocol.readStructBegin()
        found = {}
        while True:
            _, kind, number = protocol.readFieldBegin()
            if kind == TType.STOP:
                break
            found[number] = protocol.readString() if kind == TType.STRING else protocol.readBool()
            protocol.readFieldEnd()
        protocol.readStructEnd()
        return found

    def test_each_server(self):
        for server in SERVERS:
            for kind in KINDS:
                if server == "nonblocking" and not kind.startswith("framed") or \
                        server in ("process-pool", "forking") and kind == "header":
                    continue
                with self.subTest(server=server, kind=kind):
                    proxy = self.proxy()
                    self.check(proxy, self.program(proxy, server, kind), kind).close()
                    proxy.stop()

    def test_multiplexed(self):
        for kind in "framed-binary", "framed-fast", "unframed-compact":
            if "fast" in kind and older.IS_OLD:
                continue    # decorated accelerated protocols never worked there
            with self.subTest(kind=kind):
                proxy = self.proxy()
                port = self.program(proxy, "threaded", kind, "--multiplexed")
                self.check(proxy, port, kind, "billing:").close()
                proxy.stop()

    def test_header_carries_the_context(self):
        if "header" not in KINDS:
            self.skipTest("no THeader in this library")
        proxy = self.proxy()
        caller = self.caller(self.program(proxy, "threaded", "header"), "header")
        caller.protocol.set_header(b"skerry-context", b"W1.5000")
        self.assertEqual("W1", caller.under(None).charge("thread", "t"))
        self.assertEqual("none", caller.under(None).charge("thread", "t"))

    def test_without_helper(self):
        """What the proxy finds in a program without the helper: bare names, no word, an unknown method."""
        proxy = self.proxy()
        caller = self.caller(self.program(proxy, "threaded", "framed-binary", "--without-helper"), "framed-binary")
        self.assertEqual("none", caller.under(None).charge("thread", "t"))
        with self.assertRaises(TApplicationException) as caught:
            caller.under("W1").charge("thread", "t")
        self.assertEqual(TApplicationException.UNKNOWN_METHOD, caught.exception.type)
        with self.assertRaises(TTransportException):
            caller.under(None).fail("unreachable")

    def test_names_that_are_no_context(self):
        """They stay as they are, and are answered as unknown."""
        proxy = self.proxy()
        caller = self.caller(self.program(proxy))
        for context in "ctx=;", "ctx=W", "ctx=W.;", "ctx=W.-1;", "ctx=W 1;", "ctx=" + 25 * "W" + ";", "CTX=W;", ";":
            with self.subTest(context=context):
                caller.context = context
                with self.assertRaises(TApplicationException) as caught:
                    caller.client.name()
                self.assertEqual(TApplicationException.UNKNOWN_METHOD, caught.exception.type)
        self.assertEqual("billing", caller.under("W1").name())


if __name__ == "__main__":
    unittest.main()
