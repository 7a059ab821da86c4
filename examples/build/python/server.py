"""A Thrift service that greets: server.py PORT."""

import sys

from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.server.TServer import TThreadedServer
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TFramedTransportFactory

from hello import Hello


class Greeter:
    def greet(self, name):
        return "hello " + name


TThreadedServer(
    Hello.Processor(Greeter()),
    TServerSocket(port=int(sys.argv[1])),
    TFramedTransportFactory(),
    TBinaryProtocolFactory(),
).serve()
