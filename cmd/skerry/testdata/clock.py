"""Serves clock.thrift with the stock thread pool of Python on a free port of
127.0.0.1 and prints the port.

    clock.py STUBS THREADS [NAME]

With NAME the service is behind a TMultiplexedProcessor, by that name.
"""
import sys
import time

stubs, threads, name = sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:])
sys.path.insert(0, stubs)

from clock import Clock  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory  # noqa: E402
from thrift.server.TServer import TThreadPoolServer  # noqa: E402
from thrift.TMultiplexedProcessor import TMultiplexedProcessor  # noqa: E402
from thrift.transport.TSocket import TServerSocket  # noqa: E402
from thrift.transport.TTransport import TFramedTransportFactory  # noqa: E402


class Handler:
    def now(self, zone):
        return "noon in " + zone.name

    def tick(self, count):
        pass

    def reset(self):
        time.sleep(0.01)


class Listener(TServerSocket):
    def listen(self):
        super().listen()
        print(self.handle.getsockname()[1], flush=True)


processor = Clock.Processor(Handler())
if name:
    processor, whole = TMultiplexedProcessor(), processor
    processor.registerProcessor(name, whole)
server = TThreadPoolServer(
    processor, Listener("127.0.0.1", 0), TFramedTransportFactory(), TBinaryProtocolFactory()
)
server.setNumThreads(threads)
server.serve()
