"""Serves echo.thrift with the stock library of Python on a free port of
127.0.0.1 and prints the port.

    server.py STUBS KIND FRAMING ENCODING

KIND is simple (one connection at a time) or threaded; FRAMING is framed,
unframed or header; ENCODING is binary or compact.
"""
import sys
import time

stubs, kind, framing, encoding = sys.argv[1:]
sys.path.insert(0, stubs)

from echo import Echo  # noqa: E402
from echo.ttypes import Refusal  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory  # noqa: E402
from thrift.protocol.TCompactProtocol import TCompactProtocolFactory  # noqa: E402
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory  # noqa: E402
from thrift.server.TServer import TSimpleServer, TThreadedServer  # noqa: E402
from thrift.transport.TSocket import TServerSocket  # noqa: E402
from thrift.transport.TTransport import (  # noqa: E402
    TBufferedTransportFactory,
    TFramedTransportFactory,
    TTransportFactoryBase,
)


class Handler:
    def __init__(self):
        self.notes = []

    def who(self):
        return "Python, noted " + ",".join(self.notes)

    def echo(self, m):
        if m.text == "refuse":
            raise Refusal(why="as you asked")
        m.number += 1
        return m

    def sleep(self, millis):
        time.sleep(millis / 1000)
        return millis

    def fail(self, how):
        raise ValueError("broken on purpose")

    def note(self, text):
        self.notes.append(text)


class Listener(TServerSocket):
    def listen(self):
        super().listen()
        print(self.handle.getsockname()[1], flush=True)


transport = {
    "framed": TFramedTransportFactory,
    "unframed": TBufferedTransportFactory,
    "header": TTransportFactoryBase,
}[framing]()
if framing == "header":
    protocol = THeaderProtocolFactory()
else:
    protocol = {"binary": TBinaryProtocolFactory, "compact": TCompactProtocolFactory}[encoding]()
server = {"simple": TSimpleServer, "threaded": TThreadedServer}[kind]
server(Echo.Processor(Handler()), Listener("127.0.0.1", 0), transport, protocol).serve()
