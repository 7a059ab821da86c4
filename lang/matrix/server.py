"""Serves Matrix with the stock library of Python: server.py NAME=PORT..., where NAME is such as python-framed-binary."""
import os
import sys
import threading

from matrix import Matrix
from matrix.ttypes import Denied
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.server import TServer
from thrift.transport import TSocket, TTransport
from thrift.transport.THeaderTransport import THeaderClientType


class Handler(object):
    def __init__(self, name):
        self._name = name
        self._notes = set()

    def name(self):
        return self._name

    def mirror(self, value):
        return value

    def blob(self, data):
        return data

    def table(self, table):
        return table

    def flags(self, flags):
        return flags

    def deny(self, reason):
        raise Denied(reason, 403)

    def fail(self, text):
        raise ValueError(text)

    def note(self, text):
        self._notes.add(text)

    def noted(self, text):
        return text in self._notes


def transports(kind):
    if kind == "header":
        return TTransport.TBufferedTransportFactory(), THeaderProtocolFactory((THeaderClientType.HEADERS,))
    framed = kind.startswith("framed")
    compact = kind.endswith("compact")
    transport = TTransport.TFramedTransportFactory() if framed else TTransport.TBufferedTransportFactory()
    return transport, (TCompactProtocol.TCompactProtocolAcceleratedFactory() if compact
                       else TBinaryProtocol.TBinaryProtocolAcceleratedFactory())


def serve(name, port):
    transport, protocol = transports(name.split("-", 1)[1])
    server = TServer.TThreadedServer(Matrix.Processor(Handler(name)), TSocket.TServerSocket("127.0.0.1", port),
                                     transport, protocol, daemon=True)
    threading.Thread(target=server.serve, daemon=True).start()


for pair in sys.argv[1:]:
    service, _, number = pair.partition("=")
    serve(service, int(number))
os.read(0, 1)
