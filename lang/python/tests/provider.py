"""A program that serves Billing, with the helper or without, on one of the servers of the stock library.

    provider.py SERVER PROTOCOL [PORT] [--without-helper] [--multiplexed]

It prints its port, and ends when its standard input does. Calls of Auth go to $SKERRY_PROXY.
"""
import asyncio
import concurrent.futures
import os
import socket
import sys
import threading

import older  # noqa: F401  names that old libraries lack
from billing import Auth, Billing
from billing.ttypes import Denied
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.server import TNonblockingServer, TProcessPoolServer, TServer
from thrift.Thrift import TApplicationException
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport import TSocket, TTransport

import skerry


class Handler(object):
    """Calls Auth by each carrier of a context. Requests that cross wait for each other before they call."""

    def __init__(self):
        self.auth = Auth.Client(skerry.connect("auth"))
        self.pool = skerry.Executor(1)
        self.plain = concurrent.futures.ThreadPoolExecutor(2)
        self.crossing = threading.Barrier(2)

    def name(self):
        return "billing"

    def charge(self, carrier, token):
        if token == "cross":
            self.crossing.wait(10)
        if token == "denied-here":
            raise Denied("as asked for")
        if carrier.startswith("slow_"):
            threading.Event().wait(0.5)
            carrier = carrier[5:]
        return getattr(self, "by_" + carrier)(token)

    def remaining(self):
        left = skerry.remaining()
        return -1 if left is None else int(left * 1000)

    def later(self, token):
        threading.Event().wait(0.2)
        self.auth.note(token)

    def fail(self, how):
        if how == "unreachable":
            Auth.Client(skerry.connect("auth", address="127.0.0.1:1", timeout=0.1)).verify("")
        if how == "application":
            raise TApplicationException(TApplicationException.INTERNAL_ERROR, "said by the handler")
        raise ValueError("said by the handler")

    def by_thread(self, token):
        return self.auth.verify(token)

    def by_note(self, token):
        self.auth.note(token)
        return token

    def by_detached(self, token):
        skerry.detach()
        return self.auth.verify(token)

    def by_pool(self, token):
        return self.pool.submit(self.auth.verify, token).result(10)

    def by_wrap(self, token):
        return self.plain.submit(skerry.wrap(self.auth.verify), token).result(10)

    def by_nothing(self, token):
        return self.plain.submit(self.auth.verify, token).result(10)

    def by_timer(self, token):
        answer = concurrent.futures.Future()
        threading.Timer(0.02, skerry.wrap(lambda: answer.set_result(self.auth.verify(token)))).start()
        return answer.result(10)

    def by_to_thread(self, token):
        async def main():
            return await asyncio.to_thread(self.auth.verify, token)
        return asyncio.run(main())

    def by_call_later(self, token):
        async def main():
            loop = asyncio.get_running_loop()
            answer = loop.create_future()
            loop.call_later(0.02, lambda: answer.set_result(self.auth.verify(token)))
            return await answer
        return asyncio.run(main())

    def by_run_in_executor(self, token):
        async def main():
            return await asyncio.get_running_loop().run_in_executor(self.pool, self.auth.verify, token)
        return asyncio.run(main())

    def by_tasks(self, token):
        async def one():
            await asyncio.sleep(0.01)
            return self.auth.verify(token)

        async def main():
            first, second = await asyncio.gather(one(), one())
            return first if first == second else "two words"
        return asyncio.run(main())

    def by_fork(self, token):
        self.auth.verify("before the fork")
        theirs, ours = socket.socketpair()
        child = os.fork()
        if child == 0:
            try:
                theirs.sendall(self.auth.verify(token).encode())
            finally:
                os._exit(0)
        theirs.close()
        answer = ours.recv(100).decode()
        os.waitpid(child, 0)
        return answer if self.auth.verify("after") == answer else "the parent's word changed"


class Listener(TSocket.TServerSocket):
    """Prints the port at which it listens."""

    def listen(self):
        TSocket.TServerSocket.listen(self)
        print(self.handle.getsockname()[1], flush=True)


def transports(kind):
    if kind == "header":
        from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
        from thrift.transport.THeaderTransport import THeaderClientType
        kinds = (THeaderClientType.HEADERS, THeaderClientType.FRAMED_BINARY, THeaderClientType.UNFRAMED_BINARY)
        return TTransport.TBufferedTransportFactory(), THeaderProtocolFactory(kinds)
    framing, _, encoding = kind.partition("-")
    transport = TTransport.TFramedTransportFactory() if framing == "framed" else TTransport.TBufferedTransportFactory()
    return transport, {
        "binary": TBinaryProtocol.TBinaryProtocolFactory,
        "fast": TBinaryProtocol.TBinaryProtocolAcceleratedFactory,
        "compact": TCompactProtocol.TCompactProtocolFactory,
    }[encoding]()


def build(server, processor, kind, port):
    transport, protocol = transports(kind)
    listener = Listener("127.0.0.1", port)
    if server == "nonblocking":
        return TNonblockingServer.TNonblockingServer(processor, listener, protocol, threads=4)
    classes = {
        "simple": TServer.TSimpleServer,
        "threaded": TServer.TThreadedServer,
        "pool": TServer.TThreadPoolServer,
        "forking": TServer.TForkingServer,
        "process-pool": TProcessPoolServer.TProcessPoolServer,
    }
    built = classes[server](processor, listener, transport, protocol)
    if server == "process-pool":
        built.setNumWorkers(2)
    if hasattr(built, "daemon"):
        built.daemon = True
    return built


def main():
    server, kind = sys.argv[1:3]
    processor = Billing.Processor(Handler())
    if "--multiplexed" in sys.argv:
        inner, processor = processor, TMultiplexedProcessor()
        processor.registerProcessor("billing", inner)
    if "--without-helper" not in sys.argv:
        processor = skerry.processor(processor)
    threading.Thread(target=end_with_input, daemon=True).start()
    port = int(sys.argv[3]) if sys.argv[3:] and sys.argv[3].isdigit() else 0
    build(server, processor, kind, port).serve()


def end_with_input():
    os.read(0, 1)   # a read of sys.stdin holds a lock, which a forked worker would wait for
    if sys.argv[1] == "process-pool":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)    # the workers; the test gave this program a process group of its own
    os._exit(0)


if __name__ == "__main__":
    main()
