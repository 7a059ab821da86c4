"""Compares calls by the helper with those of a plain stock client: the time of both for a call, and the ratio.

    lang/python/bench/run

Both call the same stock server on a Unix socket in another process, by turns, so that load hits both. The helper's
client is called outside of a request and in one. On the other side, the cost of the processor's wrapper.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "tests"), os.path.dirname(HERE)]
import older  # noqa: E402,F401
import skerry  # noqa: E402
from billing import Auth  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

ROUNDS, CALLS = 30, 300


def serve(path):
    import standin
    proxy = standin.Proxy(path=path)
    print("ready", flush=True)
    sys.stdin.read()
    proxy.stop()


def stock(path):
    transport = TTransport.TFramedTransport(TSocket.TSocket(unix_socket=path))
    transport.open()
    protocol = TBinaryProtocolAccelerated(transport)
    begin = protocol.writeMessageBegin
    protocol.writeMessageBegin = lambda name, kind, seqid: begin("auth:" + name, kind, seqid)
    return Auth.Client(protocol)


def measure(client):
    began = time.perf_counter()
    for _ in range(CALLS):
        client.verify("token")
    return (time.perf_counter() - began) / CALLS * 1e6


def main():
    path = os.path.join(tempfile.mkdtemp(), "bench.sock")
    server = subprocess.Popen([sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    server.stdout.readline()
    plain, helper = stock(path), Auth.Client(skerry.connect("auth", address=path))
    times = {"stock client": [], "helper": [], "helper, in a request": []}
    for _ in range(ROUNDS):
        times["stock client"].append(measure(plain))
        times["helper"].append(measure(helper))
        token = skerry._current.set(("abcdefghijklmnopqrs", time.monotonic() + 60))
        times["helper, in a request"].append(measure(helper))
        skerry._current.reset(token)
    server.stdin.close()
    server.wait()
    for name, values in times.items():
        ratio = statistics.median(v / b for v, b in zip(values, times["stock client"]))
        print("%-22s %7.1f µs a call, %.2f times the stock client" % (name, statistics.median(values), ratio))


if __name__ == "__main__":
    serve(sys.argv[1]) if sys.argv[1:] else main()
