"""Calls every service by every protocol with the stock client of Python: client.py ADDRESS PROTOCOL=SERVICE,SERVICE!...

! asks for a value of 5 MiB too, ~ for no list of bool. It prints "ok PROTOCOL SERVICE" or "FAIL PROTOCOL SERVICE: reason" for each pair, and
for 16 threads that call all services of a protocol.
"""
import os
import sys
import threading
import time

from matrix import Matrix
from matrix.ttypes import Colour, Denied, Everything, Leaf
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport import TSocket, TTransport
from thrift.transport.THeaderTransport import THeaderClientType

ADDRESS = sys.argv[1]
VALUE = Everything(
    yes=True, no=False, small=-5, middle=-300, number=1 << 30, big=-(1 << 62), real=-2.5, text=u"gr\u00fc\u00df \u4f60\u597d",
    data=bytes(range(256)), numbers=[0, -1, 70000], words={"a", "b"}, counts={"one": 1, "many": 1 << 40}, nothing={},
    leaves=[Leaf("", 0), Leaf("l", -9)], colour=Colour.GREEN,
    nested={-1: [], 5: [Leaf("x", 1)]}, far=12)
BLOB = os.urandom(1 << 20) * 5


class Connection(object):
    def __init__(self, kind, service):
        self.transport = TSocket.TSocket(unix_socket=ADDRESS)
        self.transport.setTimeout(30000)
        if kind == "header":
            protocol = THeaderProtocol(self.transport, (THeaderClientType.HEADERS,))
            self.transport.open()
        else:
            self.transport = (TTransport.TFramedTransport if kind.startswith("framed")
                              else TTransport.TBufferedTransport)(self.transport)
            self.transport.open()
            protocol = (TCompactProtocol.TCompactProtocol if kind.endswith("compact")
                        else TBinaryProtocol.TBinaryProtocol)(self.transport)
        self.protocol = protocol
        self.client = Matrix.Client(TMultiplexedProtocol(protocol, service))

    def __enter__(self):
        return self.client

    def __exit__(self, *_):
        self.transport.close()


def equal(got, want):
    if got != want:
        raise AssertionError("got %.300r, want %.300r" % (got, want))


def thrown(kind, call, *args):
    try:
        call(*args)
    except kind as e:
        return e
    raise AssertionError("no %s" % kind.__name__)


def pair(kind, service, marks):
    with Connection(kind, service) as client:
        equal(client.name(), service)
        equal(client.mirror(VALUE), VALUE)
        equal(client.table({}), {})
        equal(client.table({"empty": [], "full": [1, -(1 << 40)]}), {"empty": [], "full": [1, -(1 << 40)]})
        denied = thrown(Denied, client.deny, "no")
        equal((denied.reason, denied.code), ("no", 403))
        thrown(TApplicationException, client.fail, "as asked for")
        text = "python %s" % kind
        client.note(text)
        until = time.time() + 10
        while not client.noted(text):
            equal(time.time() < until, True)
        if "~" not in marks:
            equal(client.flags([True, False, True]), [True, False, True])
        if "!" in marks:
            equal(client.blob(BLOB) == BLOB, True)
    with Connection(kind, service) as client:   # again
        equal(client.name(), service)
    if kind == "header":    # the name in the header in place of the message's
        connection = Connection(kind, service)
        connection.protocol.trans.set_header(b"sk-s", service.encode())
        equal(Matrix.Client(connection.protocol).name(), service)
        connection.transport.close()


def threads(kind, services):
    failed = []

    def run(number):
        try:
            for i in range(len(services)):
                service = services[(number + i) % len(services)]
                with Connection(kind, service) as client:
                    for j in range(3):
                        table = {"%d %d" % (number, j): [number, j]}
                        equal(client.table(table), table)
        except Exception as e:
            failed.append("%s: %r" % (service, e))
    running = [threading.Thread(target=run, args=(i,)) for i in range(16)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    equal(failed[:2], [])


def report(kind, what, call, *args):
    try:
        call(*args)
        print("ok %s %s" % (kind, what), flush=True)
    except Exception as e:
        print("FAIL %s %s: %s: %s" % (kind, what, type(e).__name__, e), flush=True)


for job in sys.argv[2:]:
    protocol, _, rest = job.partition("=")
    names = [name.rstrip("!~") for name in rest.split(",")]
    for named, name in zip(rest.split(","), names):
        report(protocol, name, pair, protocol, name, named[len(name):])
    report(protocol, "threads", threads, protocol, names)
