"""Proc, in Python: works for a request, with Auth and DB. proc.py NAME VERSION PORT."""
import os
import sys
import time

from polyglot import Auth, DB, Proc
from polyglot.ttypes import Answer, Met
from thrift.protocol import TBinaryProtocol
from thrift.server import TServer
from thrift.transport import TSocket, TTransport

import skerry

name, version, port = sys.argv[1:]
auth = Auth.Client(skerry.connect("auth"))
db = DB.Client(skerry.connect("db"))


class Handler:
    def process(self, request, token, key):
        print("%d %s process\n" % (time.time() * 1000, request), end="", flush=True)
        user = auth.verify(request, token)
        record = db.read(request, token, key)
        return Answer("%s: %s" % (user.text, record.text), [Met("proc", version, name)] + user.met + record.met)


processor = Proc.Processor(Handler())
if "WITHOUT_HELPER" not in os.environ:
    processor = skerry.processor(processor)
TServer.TThreadedServer(processor, TSocket.TServerSocket("127.0.0.1", int(port)), TTransport.TFramedTransportFactory(),
                        TBinaryProtocol.TBinaryProtocolAcceleratedFactory(), daemon=True).serve()
