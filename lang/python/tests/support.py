"""What the tests share: programs under test, callers that play the proxy towards them, stand-in proxies."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import older  # noqa: F401
from billing import Billing
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.transport import TSocket, TTransport

from standin import Proxy

HERE = os.path.dirname(os.path.abspath(__file__))


class Caller(object):
    """A stock client of a program, as the proxy is one: with(context) names the messages that follow."""

    def __init__(self, port, kind, prefix=""):
        self.context = ""
        socket = TSocket.TSocket("127.0.0.1", port)
        socket.setTimeout(15000)
        framing, _, encoding = kind.partition("-")
        if kind == "header":
            from thrift.protocol.THeaderProtocol import THeaderProtocol
            from thrift.transport.THeaderTransport import THeaderClientType
            self.transport = socket
            self.protocol = THeaderProtocol(socket, (THeaderClientType.HEADERS,))
        else:
            wrap = TTransport.TFramedTransport if framing == "framed" else TTransport.TBufferedTransport
            self.transport = wrap(socket)
            compact = encoding == "compact"
            self.protocol = (TCompactProtocol.TCompactProtocol if compact else TBinaryProtocol.TBinaryProtocol)(
                self.transport)
        socket.open()
        inner = self.protocol.writeMessageBegin
        self.protocol.writeMessageBegin = lambda name, kind, seqid: inner(self.context + prefix + name, kind, seqid)
        self.client = Billing.Client(self.protocol)

    def under(self, word, left=None):
        self.context = "ctx=%s%s;" % (word, "" if left is None else ".%d" % left) if word else ""
        return self.client

    def close(self):
        self.transport.close()


class Case(unittest.TestCase):
    """Ends what a test started."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="skerry-python-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def proxy(self, **options):
        """Starts a stand-in; without an address at the socket of the test."""
        if not options:
            options = {"path": os.path.join(self.folder, "proxy.sock")}
        proxy = Proxy(**options)
        self.addCleanup(proxy.stop)
        return proxy

    def program(self, proxy, server="threaded", kind="framed-fast", *more):
        """Starts a program under test and returns its port."""
        environment = dict(os.environ, SKERRY_PROXY=proxy.address, PYTHONPATH=os.pathsep.join(sys.path))
        child = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "provider.py"), server, kind] + list(more),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment, start_new_session=True)
        self.addCleanup(self.end, child)
        return int(child.stdout.readline())

    @staticmethod
    def end(child):
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def caller(self, port, kind="framed-fast", prefix=""):
        caller = Caller(port, kind, prefix)
        self.addCleanup(caller.close)
        return caller
