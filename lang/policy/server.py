"""Serves Shop with the stock library of Python: server.py NAME=PORT=PROTOCOL..."""
import os
import sys
import threading
import time

from shop import Shop
from shop.ttypes import Denied
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.server import TServer
from thrift.transport import TSocket, TTransport

COUNTS = {}
TOKENS = set()
LOCK = threading.Lock()


class Handler(object):
    def __init__(self, name):
        self._name = name

    def __getattribute__(self, method):
        if not method.startswith("_") and method != "executed":
            with LOCK:
                COUNTS[method] = COUNTS.get(method, 0) + 1
        return object.__getattribute__(self, method)

    def name(self):
        return self._name
    faulty = delayed = routed = nowhere = copied = name

    def deny(self, reason):
        raise Denied(reason)

    def fail(self):
        raise ValueError("as asked for")
    item = contacts = leaves = colour = nothing = lambda self, *_: self.fail()

    def slow(self, millis):
        time.sleep(millis / 1000.0)
        return self._name

    def once(self, token):
        with LOCK:
            first = token not in TOKENS
            TOKENS.add(token)
        return self.slow(1500 if first else 0)

    def executed(self, method):
        return COUNTS.get(method, 0)


def serve(name, port, kind):
    transport = (TTransport.TFramedTransportFactory if kind.startswith("framed")
                 else TTransport.TBufferedTransportFactory)()
    protocol = (TCompactProtocol.TCompactProtocolAcceleratedFactory if kind.endswith("compact")
                else TBinaryProtocol.TBinaryProtocolAcceleratedFactory)()
    server = TServer.TThreadedServer(Shop.Processor(Handler(name)), TSocket.TServerSocket("127.0.0.1", int(port)),
                                     transport, protocol, daemon=True)
    threading.Thread(target=server.serve, daemon=True).start()


for argument in sys.argv[1:]:
    serve(*argument.split("="))
os.read(0, 1)
